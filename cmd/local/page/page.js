import { button, byID, code, element, showOnly } from './dom.js';
import { GmailGrantError } from './gmailgrant.js';
import { MessageList } from './list.js';
import { Reader } from './reader.js';
import { problemSentence, retryInWords, scopesInWords, signInSentence, wayInWords } from './sentences.js';
import { trials } from './trials.js';
import { chooseWay, chosenWay, codeOfPopup, grantBy, loadCodeClient, waysIn } from './ways.js';

const config = await (await fetch('config.json')).json();

let way = chosenWay(config);
let gmail = grantBy(way, config);
let user = null; // who is signed in

const reader = new Reader(() => gmail);
const list = new MessageList(() => gmail, {
  open: (message) => attempt(() => reader.open(message)),
  goOn: () => attempt(() => list.goOn()),
  reconnect,
});

// Notices

function notice(kind, children, ...actions) {
  const sentence = element('p', {}, ...children);
  const node = element('div', { className: `notice ${kind}` }, sentence, ...actions);
  node.append(button('Close', () => node.remove(), 'link'));
  byID('notices').replaceChildren(node);
}

/** One sentence, its reason, and the way out when there is one. */
function showProblem(error, sentenceOf = problemSentence) {
  if (!(error instanceof GmailGrantError)) throw error;
  const actions = error.authorizationUrl ? [button('Connect again', () => reconnect(error), 'primary')] : [];
  notice('bad', [sentenceOf(error), retryInWords(error.retryAfter), ' ', code(error.reason)], ...actions);
  if (error.status === 401) showSignedOut();
}

function showMissingScopes(scopes) {
  const again = button('Connect again', () => reconnect({ prompt: 'consent', loginHint: user.sub }), 'primary');
  notice('warn', [`Signed in, but not everything was allowed. Missing: ${scopesInWords(scopes)}.`], again);
}

function showReturn({ mine, error }) {
  if (!mine) notice('warn', ['The answer of a sign-in that this tab did not start was ignored.']);
  if (error) showProblem(error, signInSentence);
}

// Account

/** By a redirect, even where a popup is chosen: only the redirect can ask for consent. */
function reconnect(departure) {
  return attempt(() => gmail.connect(departure));
}

async function connect() {
  if (way !== 'popup') return gmail.connect();
  try {
    await gmail.usePopupCode(await codeOfPopup(config));
  } catch (error) {
    return showProblem(error, signInSentence);
  }
  byID('notices').replaceChildren();
  await showAccountAndMail();
  byID('account-title').focus();
}

const accountStates = [byID('asking'), byID('signed-out'), byID('signed-in')];

function showSignedOut() {
  user = null;
  showOnly(byID('signed-out'), ...accountStates);
  byID('mail').hidden = true;
  reader.close();
  list.clear();
}

function showSignedIn(account) {
  user = account.user;
  const name = user.name || user.email || user.sub;
  byID('initial').textContent = [...name][0].toUpperCase();
  byID('name').textContent = name;
  byID('email').textContent = user.email ?? '';
  byID('scopes').textContent = scopesInWords(account.scopes);
  const end = new Date(Date.now() + account.expires_in * 1000);
  byID('expiry').textContent = end.toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' });
  showOnly(byID('signed-in'), ...accountStates);
  byID('mail').hidden = false;
}

/** Shows who is signed in, and lists their mail. */
async function showAccountAndMail() {
  let account;
  try {
    account = await gmail.who();
  } catch (error) {
    showSignedOut();
    throw error;
  }
  if (!account) return showSignedOut();
  showSignedIn(account);
  if (account.missing_scopes.length) showMissingScopes(account.missing_scopes);
  await list.start({});
}

async function signOut() {
  await gmail.signOut();
  showSignedOut();
  notice('good', ['Signed out. The grant is kept: connecting again asks nothing.']);
  byID('connect').focus();
}

async function disconnect() {
  const confirmed = await gmail.disconnect();
  showSignedOut();
  notice(confirmed ? 'good' : 'warn', [
    confirmed ? 'Disconnected. The grant is gone.' : 'Disconnected here, but Google did not confirm it. Check your Google account.',
  ]);
  byID('connect').focus();
}

// Ways in

async function useWay(chosen) {
  way = chosen;
  chooseWay(way);
  gmail = grantBy(way, config);
  byID('notices').replaceChildren();
  byID('about-way').textContent = wayInWords(way);
  if (way === 'popup') await loadCodeClient(config);
  await showAccountAndMail();
}

function offerWays() {
  const ways = waysIn(config);
  for (const input of document.querySelectorAll('input[name=way]')) {
    input.disabled = !ways.includes(input.value);
    input.checked = input.value === way;
    input.onchange = () => attempt(() => useWay(input.value));
  }
  byID('about-way').textContent = wayInWords(way);
}

// Search

function searchForm() {
  const unread = byID('unread').checked ? 'UNREAD' : '';
  return { q: byID('q').value.trim(), labelIds: [byID('label').value, unread].filter(Boolean) };
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
  } catch (error) {
    if (!(error instanceof GmailGrantError)) throw error;
    showTrial(error);
    if (error.status === 401 && trial.needsSession) showProblem(error);
  }
}

function showTrial(error) {
  byID('trial-answer').replaceChildren(
    element('p', { className: 'notice bad' }, element('strong', { textContent: error.message }), code(error.reason)),
    element('pre', { textContent: JSON.stringify({ message: error.message, ...error }, null, 2) }));
}

function listTrials() {
  const all = trials({ config, list, gmail: () => gmail, user: () => user });
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
  byID('connect').onclick = () => attempt(connect);
  byID('other-account').onclick = () => attempt(() => gmail.connect({ prompt: 'select_account' }));
  byID('reconsent').onclick = () => reconnect({ prompt: 'consent', loginHint: user?.sub });
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
  // A page that the back button brings back as it was may be of before the sign-in.
  window.onpageshow = ({ persisted }) => persisted && attempt(showAccountAndMail);
}

async function start() {
  byID('stand-in').hidden = !config.standIn;
  listTrials();
  offerWays();
  listen();
  const returned = await gmail.returned;
  if (returned) showReturn(returned);
  if (way === 'popup') await loadCodeClient(config);
  await showAccountAndMail();
}

await attempt(start);
