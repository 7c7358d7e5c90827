import { Functions, Problem } from './api.js';
import { button, byID, code, element, showOnly } from './dom.js';
import { MessageList } from './list.js';
import { Reader } from './reader.js';
import { problemSentence, redirectError, retryInWords, scopesInWords } from './sentences.js';
import { answerOfSignIn, leaveToSignIn } from './signin.js';
import { trials } from './trials.js';

const config = await (await fetch('config.json')).json();
const functions = new Functions(config);

/** Reasons after which nobody is signed in any more. */
const endOfSession = new Set(['no_session', 'session_expired', 'not_connected', 'revoked']);

let user = null; // who is signed in

const reader = new Reader(functions);
const list = new MessageList(functions, {
  open: (message) => attempt(() => reader.open(message)),
  goOn: () => attempt(() => list.goOn()),
  reconnect: () => connectWithConsent(),
});

// Notices

function notice(kind, children, ...actions) {
  const sentence = element('p', {}, ...children);
  const node = element('div', { className: `notice ${kind}` }, sentence, ...actions);
  node.append(button('Close', () => node.remove(), 'link'));
  byID('notices').replaceChildren(node);
}

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
  showOnly(byID('signed-out'), ...accountStates);
  byID('mail').hidden = true;
  reader.close();
  list.clear();
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

// Search

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
  if (trial.inList) {
    byID('search').reset();
    byID('mail').scrollIntoView();
  }
  try {
    await trial.run();
    answer.replaceChildren(element('p', {
      className: 'notice good',
      textContent: trial.inList ? 'The list above shows it.' : 'This worked, against expectation.',
    }));
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
  const all = trials(functions, list, () => user, config.standIn);
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
    attempt(() => list.start(searchForm()));
  };
  byID('label').onchange = byID('unread').onchange = () => byID('search').requestSubmit();
  byID('reader-close').onclick = () => reader.close();
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
  await attempt(() => list.start({}));
}

await start();
