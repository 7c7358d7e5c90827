import { button, byID, code, element, showOnly } from './dom.js';
import { GmailGrantError } from './gmailgrant.js';
import { MessageList } from './list.js';
import { Reader } from './reader.js';
import { problemSentence, retryInWords, scopesInWords, signInSentence, wayInWords } from './sentences.js';
import { trials } from './trials.js';
import { chooseWay, chosenWay, codeOfPopup, grantBy, loadCodeClient, waysClosed } from './ways.js';

const config = await (await fetch('config.json')).json();

let way = chosenWay(config);
let gmail = grantBy(way, config);
let user = null; // who is signed in

const reader = new Reader(() => gmail, isStillUser);
const list = new MessageList(() => gmail, {
  open: (message) => attempt(() => reader.open(message)),
  goOn: () => attempt(() => list.goOn()),
  reconnect,
});

// Notices

function notice(kind, children, ...actions) {
  const sentence = element('p', {}, ...children);
  const node = element('div', { className: `notice ${kind}` }, sentence, ...actions);
  node.append(button('Close', () => keepFocus(() => node.remove(), byID('main')), 'link'));
  byID('notices').replaceChildren(node);
}

/** Does what may take away the element that has the focus, and then gives it to another. */
function keepFocus(action, next) {
  const { activeElement } = document;
  action();
  if (activeElement !== document.body && !activeElement.checkVisibility()) next.focus({ preventScroll: true });
}

/** A focused element is scrolled to where no notice covers it. */
function keepNoticesClear() {
  const { height } = byID('notices').getBoundingClientRect();
  document.documentElement.style.scrollPaddingTop = `calc(${height}px + 1rem)`;
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
  await askAndShow();
  byID('account-title').focus();
}

const accountStates = [byID('asking'), byID('signed-out'), byID('signed-in')];

function showSignedOut() {
  user = null;
  keepFocus(() => {
    byID('confirm').close();
    reader.close(); // gives the focus back to a row
    showOnly(byID('signed-out'), ...accountStates);
    byID('mail').hidden = true;
    byID('trials').hidden = false;
    list.clear();
  }, byID('connect'));
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
  byID('trials').hidden = false;
}

/** Asks who is signed in and shows it; unless another way in was chosen meanwhile. */
async function askAndShow() {
  const asked = gmail;
  try {
    const account = await asked.who();
    if (asked === gmail) await showAccountAndMail(account);
  } catch (error) {
    if (asked === gmail && !user) showSignedOut();
    throw error;
  }
}

/** Shows who is signed in, null for nobody, and lists their mail. */
async function showAccountAndMail(account) {
  if (!account) return showSignedOut();
  showSignedIn(account);
  if (account.missing_scopes.length) showMissingScopes(account.missing_scopes);
  await list.start({});
}

/**
 * Whether it is still the user who is shown: in the cookie way another tab may have signed
 * in somebody else. If not, the page shows whoever it is, and says so.
 */
async function isStillUser() {
  const asked = gmail;
  const shown = user;
  const account = await asked.who();
  if (asked !== gmail || user !== shown) return false; // the page has changed meanwhile
  if (account?.user.sub === shown?.sub) return true;
  keepFocus(() => {
    byID('confirm').close();
    reader.close();
    list.clear();
    byID('notices').replaceChildren();
  }, byID('account-title'));
  if (shown) notice('warn', [account ? 'Somebody else has signed in meanwhile.' : 'You have signed out meanwhile.']);
  await showAccountAndMail(account);
  return false;
}

async function signOut() {
  await gmail.signOut();
  showSignedOut();
  notice('good', ['Signed out. The grant is kept: connecting again asks nothing.']);
}

async function askToDisconnect() {
  if (!await isStillUser()) return;
  byID('confirm-account').textContent = user.email ?? user.sub;
  byID('confirm').showModal();
}

async function disconnect() {
  if (!await isStillUser()) return;
  const confirmed = await gmail.disconnect();
  showSignedOut();
  notice(confirmed ? 'good' : 'warn', [
    confirmed ? 'Disconnected. The grant is gone.' : 'Disconnected here, but Google did not confirm it. Check your Google account.',
  ]);
}

// Ways in

async function useWay(chosen) {
  way = chosen;
  chooseWay(way);
  gmail = grantBy(way, config);
  byID('notices').replaceChildren();
  byID('about-way').textContent = wayInWords(way, waysClosed(config));
  user = null;
  prepareWay();
  await askAndShow();
}

/** Has Google's script there, if possible, before the click that needs it. */
function prepareWay() {
  if (way !== 'popup') return;
  loadCodeClient(config).catch((error) => way === 'popup' && showProblem(error, signInSentence));
}

function offerWays() {
  const closed = waysClosed(config);
  for (const input of document.querySelectorAll('input[name=way]')) {
    input.disabled = closed.includes(input.value);
    input.checked = input.value === way;
    input.onchange = () => attempt(() => useWay(input.value));
  }
  byID('about-way').textContent = wayInWords(way, closed);
}

// Search

function searchForm() {
  const unread = byID('unread').checked ? 'UNREAD' : '';
  return { q: byID('q').value.trim(), labelIds: [byID('label').value, unread].filter(Boolean) };
}

// Errors on purpose

async function tryOut(trial) {
  if (trial.needsSession && !user) {
    showTrial('warn', ['Connect first: this one needs a session.']);
    return;
  }
  if (trial.inList) {
    byID('search').reset();
    byID('mail').scrollIntoView();
  }
  try {
    await trial.run();
    showTrial('good', [trial.inList ? 'The list above shows it.' : 'This worked, against expectation.']);
  } catch (error) {
    if (!(error instanceof GmailGrantError)) throw error;
    showTrial('bad', [problemSentence(error), retryInWords(error.retryAfter), ' ', code(error.reason)], error);
    if (error.status === 401 && trial.needsSession) showProblem(error);
  }
}

/** What a trial led to, in words and, for developers, the error as the module throws it. */
function showTrial(kind, words, error) {
  const answer = byID('trial-answer');
  answer.className = `notice ${kind}`;
  answer.replaceChildren(...words);
  const problem = byID('trial-problem');
  problem.hidden = !error;
  problem.textContent = error ? JSON.stringify({ message: error.message, ...error }, null, 2) : '';
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
  byID('disconnect').onclick = () => attempt(askToDisconnect);
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
  // Another tab may have signed in somebody else meanwhile; so may another page, for one
  // that the back button brings back as it was.
  document.onvisibilitychange = () => way === 'cookie' && document.visibilityState === 'visible' && attempt(isStillUser);
  window.onpageshow = ({ persisted }) => persisted && attempt(isStillUser);
  new ResizeObserver(keepNoticesClear).observe(byID('notices'));
}

async function start() {
  listTrials();
  offerWays();
  listen();
  const returned = await gmail.returned;
  if (returned) showReturn(returned);
  prepareWay();
  await askAndShow();
}

await attempt(start);
