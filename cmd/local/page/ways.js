/** The three ways in, and which of them this tab has chosen. */

import { GmailGrant, GmailGrantError } from './gmailgrant.js';

const remembered = 'demo.way'; // in sessionStorage: the choice has to survive a redirect

/** The prefix of the functions' addresses, as a pattern for every BASE_URL. */
const baseUrl = (config) => config.authurl.replace('authurl', '{function}');

const onOurSite = (config) => new URL(config.authurl).hostname === location.hostname;

/** The ways that work between this page and these functions, the best first. */
export function waysIn(config) {
  return [...(onOurSite(config) ? ['cookie'] : []), 'handoff', ...(config.gsi ? ['popup'] : [])];
}

/** Those that do not. */
export function waysClosed(config) {
  return ['cookie', 'handoff', 'popup'].filter((way) => !waysIn(config).includes(way));
}

export function chosenWay(config) {
  const ways = waysIn(config);
  const way = sessionStorage.getItem(remembered);
  return ways.includes(way) ? way : ways[0];
}

export function chooseWay(way) {
  sessionStorage.setItem(remembered, way);
}

/** The functions by one of the ways. A popup's session is a Bearer session like the hand-off's. */
export function grantBy(way, config) {
  return new GmailGrant({ baseUrl: baseUrl(config), way: way === 'cookie' ? 'cookie' : 'handoff' });
}

let codeClient; // the promise of Google's script

/** Loads Google's script, which nobody needs who signs in another way; once, unless it failed. */
export function loadCodeClient(config) {
  codeClient ??= load(config.gsi).catch((error) => {
    codeClient = null;
    throw error;
  });
  return codeClient;
}

function load(src) {
  return new Promise((resolve, reject) => {
    const failed = () => reject(new GmailGrantError({ reason: 'popup_failed_to_load' }));
    const onload = () => (window.google?.accounts ? resolve() : failed()); // a blocker may have put in an empty one
    document.head.append(Object.assign(document.createElement('script'), { src, onload, onerror: failed }));
  });
}

/**
 * The code of Google's popup. Has to be called in a click, or the browser blocks the window.
 * Nothing to wait for once the script is there; before, the click counts for a few seconds.
 */
export async function codeOfPopup(config) {
  await loadCodeClient(config);
  const failed = (reason) => new GmailGrantError({ reason });
  return new Promise((resolve, reject) => {
    window.google.accounts.oauth2.initCodeClient({
      client_id: config.clientID,
      scope: config.scope,
      ux_mode: 'popup',
      include_granted_scopes: false,
      callback: ({ code, error }) => (code ? resolve(code) : reject(failed(error ?? 'invalid_request'))),
      error_callback: ({ type }) => reject(failed(type)),
    }).requestCode();
  });
}
