/** What the page says, in one place. */

const signInErrors = {
  access_denied: 'You did not allow access, so nothing was connected.',
  code_exchange_failed: 'The sign-in was not accepted. Connect again.',
  domain_policy: 'The administrator of this account does not allow the app.',
  internal: 'Something went wrong on our side. Try again later.',
  invalid_request: 'Google did not understand the request. Connect again.',
  misconfigured: 'The functions are not set up correctly. Their log says what is wrong.',
  missing_scope: 'The box that allows reading mail was not ticked, so there is nothing to list. Connect again and tick it.',
  network: 'The functions could not be reached to finish signing in. Connect again.',
  no_refresh_token: 'Google gave no lasting access. Connect again and give consent.',
  no_storage: 'The browser lets this page store nothing, so it can’t keep you signed in this way.',
  no_user_id: 'Google did not say who signed in. Connect again.',
  popup_closed: 'The window was closed before signing in was done.',
  popup_failed_to_load: 'Google’s script for the popup could not be loaded. Try again.',
  popup_failed_to_open: 'The browser did not open Google’s window. Allow popups for this page and try again.',
  state_expired: 'Signing in took too long. Connect again.',
  upstream_unavailable: 'Google could not be reached. Try again in a moment.',
  user_changed: 'Somebody else is signed in now.',
};

/** The sentence for a sign-in that failed. */
export function signInSentence({ reason }) {
  return signInErrors[reason] ?? 'Signing in failed. Connect again.';
}

const problems = {
  domain_policy: 'The administrator of this account does not allow the app.',
  gmail_disabled: 'The Gmail API is switched off for this app. Its operator has to switch it on.',
  internal: 'Something went wrong on our side. Try again later.',
  misconfigured: 'The functions are not set up correctly. Their log says what is wrong.',
  missing_scope: 'Reading mail was not allowed. Connect again and tick the box for it.',
  network: 'The functions could not be reached, or they do not allow this page.',
  no_session: 'You are not signed in.',
  no_storage: 'The browser lets this page store nothing, so it can’t keep you signed in this way.',
  not_connected: 'This account is not connected any more.',
  rate_limited: 'Gmail asks to slow down.',
  revoked: 'Access was revoked at Google, so the account is not connected any more.',
  session_expired: 'Your session has ended.',
  upstream_unavailable: 'Google could not be reached.',
  user_changed: 'Somebody else is signed in now.',
};

/** The sentence for a failure: the functions' own, unless that speaks to developers. */
export function problemSentence({ reason, message }) {
  return problems[reason] ?? message;
}

const shortfalls = {
  deadline: 'Listing took too long',
  response_size: 'The answer became too large',
  rate_limited: 'Gmail asks to slow down',
  upstream_unavailable: 'Gmail stopped answering',
  revoked: 'Access was revoked while listing',
  network: 'The connection was cut',
  user_changed: 'Somebody else is signed in now',
};

const shortfall = (reason) => shortfalls[reason] ?? 'Something went wrong';

/** The sentence for a list that could not go on. */
export function incompleteList(reason) {
  return `${shortfall(reason)}, so the list ends early.`;
}

/** The sentence for a list that will go on by itself. */
export function pauseInWords({ reason, seconds }) {
  return `${shortfall(reason)}. The list goes on by itself in ${Math.ceil(seconds)} s.`;
}

const ways = {
  cookie: 'The session is in a cookie that no script can read: for a page on the site of the functions.',
  handoff: 'The session is a Bearer token in this tab: for a page on any site, without a cookie.',
  popup: 'Google’s own window gives the page a code, and the session is a Bearer token in this tab.',
};

const closedWays = {
  cookie: 'The cookie is not to be had here: the functions are on another site.',
  popup: 'Google’s popup is off: POPUP_FLOW=on switches it on, with the stand-in.',
};

/** What a way in is, and why others can't be chosen here. */
export function wayInWords(way, closed) {
  return [ways[way], ...closed.map((other) => closedWays[other])].join(' ');
}

const scopeMeanings = {
  'openid': 'who you are',
  'email': 'your e-mail address',
  'profile': 'your name and picture',
  'https://www.googleapis.com/auth/userinfo.email': 'your e-mail address',
  'https://www.googleapis.com/auth/userinfo.profile': 'your name and picture',
  'https://www.googleapis.com/auth/gmail.readonly': 'read your mail',
  'https://www.googleapis.com/auth/gmail.metadata': 'list your mail, without its text',
  'https://www.googleapis.com/auth/gmail.modify': 'read and change your mail',
  'https://mail.google.com/': 'everything in your mailbox',
};

/** Scopes in words, each meaning once. */
export function scopesInWords(scopes) {
  return [...new Set(scopes.map((scope) => scopeMeanings[scope] ?? scope))].join(', ');
}

export function countInWords(shown, more) {
  if (shown === 0) return more ? 'No message yet.' : 'No message matches.';
  const messages = shown === 1 ? '1 message' : `${shown.toLocaleString()} messages`;
  return more ? `${messages}, and there are more.` : `${messages}, that is all.`;
}

export function retryInWords(retryAfter) {
  const seconds = Number(retryAfter);
  if (!(seconds > 0)) return '';
  if (seconds < 100) return ` Try again in ${seconds} s.`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 100 ? ` Try again in ${minutes} minutes.` : ` Try again in ${Math.ceil(minutes / 60)} hours.`;
}

const time = new Intl.DateTimeFormat([], { timeStyle: 'short' });
const day = new Intl.DateTimeFormat([], { day: 'numeric', month: 'short' });
const dayAndYear = new Intl.DateTimeFormat([], { dateStyle: 'medium' });
const everything = new Intl.DateTimeFormat([], { dateStyle: 'full', timeStyle: 'short' });

/** As much of a date as tells it from others: the time today, the year only of past years. */
export function dateInShort(date, now = new Date()) {
  if (date.toDateString() === now.toDateString()) return time.format(date);
  return (date.getFullYear() === now.getFullYear() ? day : dayAndYear).format(date);
}

export function dateInFull(date) {
  return date ? everything.format(date) : '';
}

/** Bytes in words, in decimal units as Gmail has them. */
export function sizeInWords(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  const [size, unit] = bytes < 1e6 ? [bytes / 1e3, 'kB'] : [bytes / 1e6, 'MB'];
  return `${size.toLocaleString([], { maximumFractionDigits: size < 10 ? 1 : 0 })} ${unit}`;
}
