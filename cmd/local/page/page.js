import { Functions, Problem } from './api.js';
import { button, byID, element, showOnly } from './dom.js';
import { countInWords, incompleteList, problemSentence, redirectError, retryInWords, scopesInWords } from './sentences.js';
import { answerOfSignIn, leaveToSignIn } from './signin.js';
import { trials } from './trials.js';

const pageSize = 50;

const config = await (await fetch('config.json')).json();
const functions = new Functions(config);

/** Reasons after which nobody is signed in any more. */
const endOfSession = new Set(['no_session', 'session_expired', 'not_connected', 'revoked']);

let user = null; // who is signed in
let search = {}; // parameters of the list shown
let cursor; // where that list goes on
let shown = 0; // how many messages of it are on the page
let inFlight = null; // AbortController of the list request under way

// Notices

function notice(kind, children, ...actions) {
  const sentence = element('p', {}, ...children);
  const node = element('div', { className: `notice ${kind}` }, sentence, ...actions);
  node.append(button('Close', () => node.remove(), 'link'));
  byID('notices').replaceChildren(node);
}

const code = (text) => element('code', { textContent: text });

/** One sentence, its reason, and the way out when there is one. */
function showProblem(problem) {
  if (!(problem instanceof Problem)) throw problem;
  const actions = [];
  if (problem.authorizationURL) {
    actions.push(button('Connect again', () => leaveToSignIn(problem.authorizationURL), 'primary'));
  }
  notice('bad', [problemSentence(problem), retryInWords(problem.retryAfter), ' ', code(problem.reason)], ...actions);
  if (endOfSession.has(problem.reason)) showSignedOut();
}

function showMissingScopes(scopes) {
  const again = button('Connect again', connectWithConsent, 'primary');
  notice('warn', [`Signed in, but not everything was allowed. Missing: ${scopesInWords(scopes)}.`], again);
}

function showAnswerOfSignIn({ mine, error, missingScopes }) {
  if (!mine) {
    notice('warn', ['The answer of a sign-in that this tab did not start was ignored.']);
    return;
  }
  if (error) {
    const again = button('Connect again', missingScopes.length ? connectWithConsent : connect, 'primary');
    notice('bad', [redirectError(error), ' ', code(error)], again);
  }
}

// Account

const connect = () => leaveToSignIn(functions.signInURL({}));
const connectWithConsent = () => leaveToSignIn(functions.signInURL({ prompt: 'consent', login_hint: user?.sub }));

const accountStates = [byID('asking'), byID('signed-out'), byID('signed-in')];

function showSignedOut() {
  user = null;
  inFlight?.abort();
  showOnly(byID('signed-out'), ...accountStates);
  byID('mail').hidden = true;
  clearList();
}

function showSignedIn(session) {
  user = session.user;
  const name = user.name || user.email || user.sub;
  byID('initial').textContent = [...name][0].toUpperCase();
  byID('name').textContent = name;
  byID('email').textContent = user.email ?? '';
  byID('scopes').textContent = scopesInWords(session.scopes);
  const end = new Date(Date.now() + session.expires_in * 1000);
  byID('expiry').textContent = end.toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
  showOnly(byID('signed-in'), ...accountStates);
  byID('mail').hidden = false;
}

/** Asks who is signed in; that nobody is yet is no error. */
async function refreshAccount() {
  try {
    const session = await functions.whoIsSignedIn();
    showSignedIn(session);
    return session;
  } catch (problem) {
    showSignedOut();
    if (problem.reason !== 'no_session') showProblem(problem);
    return null;
  }
}

async function signOut() {
  await functions.signOut();
  showSignedOut();
  notice('good', ['Signed out. The grant is kept: connecting again asks nothing.']);
  byID('connect').focus();
}

async function disconnect() {
  const answer = await functions.disconnect();
  showSignedOut();
  const unconfirmed = answer?.revoked === false;
  notice(unconfirmed ? 'warn' : 'good', [
    unconfirmed ? 'Disconnected here, but Google did not confirm it. Check your Google account.' : 'Disconnected. The grant is gone.',
  ]);
  byID('connect').focus();
}

// Messages

function clearList() {
  cursor = undefined;
  shown = 0;
  byID('rows').replaceChildren();
  byID('messages').hidden = true;
  byID('more').hidden = true;
  byID('count').textContent = '';
}

function row(message, position) {
  return element('tr', {},
    element('td', { textContent: position.toLocaleString() }),
    element('td', { textContent: message.id }),
    element('td', { textContent: message.threadId }));
}

function append(answer) {
  byID('rows').append(...answer.messages.map((message, i) => row(message, shown + i + 1)));
  shown += answer.messages.length;
  cursor = answer.nextPageToken;
  byID('messages').hidden = shown === 0;
  byID('more').hidden = !cursor;
  byID('count').textContent = countInWords(shown, Boolean(cursor));
  if (answer.incomplete) showIncomplete(answer.incomplete);
}

function showIncomplete({ reason, retry_after: retryAfter }) {
  const actions = cursor ? [button('Continue', () => attempt(loadMore), 'primary')] : [];
  notice('warn', [incompleteList(reason), retryInWords(retryAfter), ' ', code(reason)], ...actions);
}

/** Fetches a page of the list; a newer request ends an older one. */
async function fetchPage(parameters) {
  inFlight?.abort();
  const mine = inFlight = new AbortController();
  byID('messages').ariaBusy = 'true';
  try {
    return await functions.listMessages({ ...parameters, maxResults: pageSize }, { signal: mine.signal });
  } finally {
    if (inFlight === mine) {
      inFlight = null;
      byID('messages').ariaBusy = 'false';
    }
  }
}

/** Replaces the list, but not before there is an answer; one that failed is no list. */
async function startSearch(parameters) {
  search = parameters;
  try {
    const answer = await fetchPage(search);
    clearList();
    append(answer);
  } catch (error) {
    if (error.name !== 'AbortError') clearList();
    throw error;
  }
}

async function loadMore() {
  if (!cursor || inFlight) return;
  append(await fetchPage({ ...search, pageToken: cursor }));
  if (!cursor) byID('count').focus();
}

function searchForm() {
  const label = byID('label').value;
  const unread = byID('unread').checked ? 'UNREAD' : '';
  return { q: byID('q').value.trim(), labelIds: [label, unread] };
}

// Errors on purpose

async function tryOut(trial) {
  const answer = byID('trial-answer');
  if (trial.needsSession && !user) {
    answer.replaceChildren(element('p', { className: 'notice warn', textContent: 'Connect first: this one needs a session.' }));
    return;
  }
  try {
    await trial.run();
    answer.replaceChildren(element('p', { className: 'notice good', textContent: 'This worked, against expectation.' }));
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    showTrial(problem);
    if (problem.reason === 'revoked') showProblem(problem);
  }
}

function showTrial(problem) {
  const { status, title } = problem.document;
  byID('trial-answer').replaceChildren(
    element('p', { className: 'notice bad' }, element('strong', { textContent: `${status ?? ''} ${title}`.trim() }), code(problem.reason)),
    element('pre', { textContent: JSON.stringify(problem.document, null, 2) }));
}

function listTrials() {
  const all = trials(functions, () => ({ user, cursor }), config.standIn);
  byID('trial-buttons').append(...all.map((trial) =>
    element('button', { type: 'button', onclick: () => attempt(() => tryOut(trial)) },
      element('span', { textContent: trial.title }), code(trial.reason))));
}

// Wiring

/** Runs what an event asks for and shows what goes wrong with it. */
async function attempt(action) {
  try {
    await action();
  } catch (error) {
    if (error.name !== 'AbortError') showProblem(error);
  }
}

function listen() {
  byID('connect').onclick = connect;
  byID('reconsent').onclick = connectWithConsent;
  byID('sign-out').onclick = () => attempt(signOut);
  byID('disconnect').onclick = () => byID('confirm').showModal();
  byID('confirm').onclose = (event) => {
    if (event.target.returnValue === 'revoke') attempt(disconnect);
    event.target.returnValue = '';
  };
  byID('search').onsubmit = (event) => {
    event.preventDefault();
    attempt(() => startSearch(searchForm()));
  };
  byID('label').onchange = byID('unread').onchange = () => byID('search').requestSubmit();
  byID('more').onclick = () => attempt(loadMore);
}

async function start() {
  byID('stand-in').hidden = !config.standIn;
  listTrials();
  listen();
  const answer = answerOfSignIn();
  const session = await refreshAccount();
  if (answer) showAnswerOfSignIn(answer);
  if (!session) return;
  if (session.missing_scopes?.length) showMissingScopes(session.missing_scopes);
  await attempt(() => startSearch({}));
}

await start();
