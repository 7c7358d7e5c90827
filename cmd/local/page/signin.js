/**
 * The way to sign in and back. The functions give `state` back unchanged; comparing
 * it with what this tab remembers tells an answer to this tab's question from any other.
 */

const remembered = 'gmailgrant.state';

/** Leaves the page for `url`, an address of authurl. */
export function leaveToSignIn(url) {
  const state = crypto.randomUUID();
  sessionStorage.setItem(remembered, state);
  const target = new URL(url);
  target.searchParams.set('return_to', location.origin + '/');
  target.searchParams.set('state', state);
  location.assign(target);
}

/**
 * Reads what the sign-in left in the address of this page and removes it from there.
 * Returns null when there is nothing, else {mine, error, missingScopes}.
 */
export function answerOfSignIn() {
  const query = new URLSearchParams(location.search);
  if (!query.has('state') && !query.has('error')) return null;
  history.replaceState(null, '', location.pathname);
  const mine = query.has('state') && query.get('state') === sessionStorage.getItem(remembered);
  sessionStorage.removeItem(remembered);
  return {
    mine,
    error: query.get('error'),
    missingScopes: (query.get('missing_scopes') ?? '').split(' ').filter(Boolean),
  };
}
