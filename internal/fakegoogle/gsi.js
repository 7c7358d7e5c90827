/*
 * A local stand-in for https://accounts.google.com/gsi/client. It is NOT Google's.
 *
 * Of Google Identity Services there is the code client, in a popup, with the
 * parameters and answers of
 * https://developers.google.com/identity/oauth2/web/reference/js-reference#CodeClientConfig.
 * What it does not know it refuses, so that a misspelt parameter is found here.
 */
(() => {
  'use strict';

  const endpoint = new URL('/o/oauth2/v2/auth', document.currentScript.src);
  const parameters = [
    'client_id', 'scope', 'include_granted_scopes', 'redirect_uri', 'callback', 'state', 'enable_granular_consent',
    'enable_serial_consent', 'login_hint', 'hd', 'ux_mode', 'select_account', 'error_callback',
  ];
  const checkEvery = 100; // ms between two looks at whether the popup is still open

  function checkConfig(config) {
    for (const name of Object.keys(config)) {
      if (!parameters.includes(name)) throw new Error(`Unknown parameter ${name}.`);
    }
    for (const name of ['client_id', 'scope', 'callback']) {
      if (!config[name]) throw new Error(`Missing required parameter ${name}.`);
    }
    if ((config.ux_mode ?? 'popup') !== 'popup') throw new Error("This stand-in has ux_mode 'popup' only.");
  }

  /** The authorization request; a popup takes no redirect_uri of the page's. */
  function addressFor(config, id) {
    const address = new URL(endpoint);
    const { protocol, host } = location;
    const query = {
      client_id: config.client_id,
      scope: config.scope,
      response_type: 'code',
      access_type: 'offline',
      redirect_uri: `storagerelay://${protocol.slice(0, -1)}/${host}?id=${id}`,
      include_granted_scopes: String(config.include_granted_scopes ?? true),
      prompt: config.select_account ? 'select_account' : undefined,
      state: config.state,
      login_hint: config.login_hint,
      hd: config.hd,
    };
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) address.searchParams.set(name, value);
    }
    return address;
  }

  function failure(type, message) {
    return Object.assign(new Error(message), { type });
  }

  function requestCode(config) {
    const id = crypto.randomUUID();
    const popup = window.open(addressFor(config, id), id, 'popup,width=500,height=640');
    if (!popup) {
      config.error_callback?.(failure('popup_failed_to_open', 'Failed to open popup window'));
      return;
    }
    let closedBefore = false;
    const stop = () => {
      removeEventListener('message', onMessage);
      clearInterval(timer);
    };
    const onMessage = ({ origin, source, data }) => {
      if (origin !== endpoint.origin || source !== popup || data?.id !== id) return;
      stop();
      config.callback(data.answer);
    };
    // The answer may still be on its way when the popup is seen to be closed.
    const onTimer = () => {
      if (closedBefore) {
        stop();
        config.error_callback?.(failure('popup_closed', 'Popup window closed'));
      }
      closedBefore = popup.closed;
    };
    addEventListener('message', onMessage);
    const timer = setInterval(onTimer, checkEvery);
  }

  function initCodeClient(config) {
    checkConfig(config);
    const kept = { ...config };
    return { requestCode: () => requestCode(kept) };
  }

  window.google ??= {};
  window.google.accounts ??= {};
  window.google.accounts.oauth2 = { initCodeClient };
})();
