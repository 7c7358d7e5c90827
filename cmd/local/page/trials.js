/** What can go wrong, on purpose, so that a front-end developer meets everything once. */

import { GmailGrantError } from './gmailgrant.js';

const elsewhere = 'https://elsewhere.example/';
const forgedVerifier = 'v'.repeat(43);

const json = (value) => ({
  method: 'POST',
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify(value),
});

/**
 * What can be tried. `gmail()` and `user()` are those at the time of the click. Trials
 * with `needsSession` make sense only for somebody signed in; those with `inList` show in
 * `list` what they do.
 */
export function trials({ config, list, gmail, user }) {
  /** A request that the module would never send. */
  const call = async (name, parameters, init) => {
    const answer = await fetch(`${config[name]}?${new URLSearchParams(parameters)}`, init);
    if (!answer.ok) throw new GmailGrantError(await answer.json());
  };
  const always = [
    { title: 'A parameter that is no number', reason: 'invalid_request', run: () => call('listmessages', { maxResults: 'many' }) },
    { title: 'A parameter nobody knows', reason: 'invalid_request', run: () => call('listmessages', { colour: 'blue' }) },
    {
      title: 'The cursor of another search',
      reason: 'invalid_request',
      needsSession: true,
      run: () => first(gmail(), { q: 'something else', pageToken: 'made-up' }),
    },
    { title: 'No session', reason: 'no_session', run: () => call('listmessages', {}) },
    { title: 'A forged session', reason: 'no_session', run: () => call('listmessages', {}, { headers: { Authorization: 'Bearer forged' } }) },
    { title: 'A wrong method', reason: 'method_not_allowed', run: () => call('listmessages', {}, { method: 'POST' }) },
    { title: 'A foreign place to return to', reason: 'invalid_return_to', run: () => call('authurl', { return_to: elsewhere }) },
    { title: 'Text where JSON belongs', reason: 'unsupported_media_type', run: () => call('callback', {}, { method: 'POST', body: 'code' }) },
    {
      title: 'A code that is not ours',
      reason: 'code_exchange_failed',
      run: () => call('callback', {}, json({ code: 'made-up', code_verifier: forgedVerifier })),
    },
    {
      title: 'A connection that is cut',
      reason: 'goes on by itself',
      needsSession: true,
      inList: true,
      run: () => {
        cutNextAnswer();
        return list.start({});
      },
    },
  ];
  return config.standIn ? [...always, ...standInTrials(list, gmail, user)] : always;
}

/** Asks for one message, for the error that it brings. */
function first(gmail, query) {
  return gmail.messages({ maxResults: 1, ...query }).next();
}

/** Ends the stream of the next request somewhere in its first messages, as a lost connection does. */
function cutNextAnswer() {
  const send = window.fetch;
  window.fetch = async (...request) => {
    window.fetch = send;
    const answer = await send(...request);
    let left = 4000; // bytes
    const cut = new TransformStream({
      transform(chunk, controller) {
        controller.enqueue(chunk.subarray(0, left));
        left -= chunk.length;
        if (left < 0) controller.error(new TypeError('cut on purpose'));
      },
    });
    return new Response(answer.body.pipeThrough(cut), answer);
  };
}

/** What only the stand-in can do: misbehave when asked to. */
function standInTrials(list, gmail, user) {
  const misbehave = (what, parameters) =>
    fetch(`/stand-in/${what}?${new URLSearchParams(parameters)}`, { method: 'POST' });
  const refusal = (title, reason) => ({
    title,
    reason,
    needsSession: true,
    run: async () => {
      await misbehave('fault', { name: reason });
      return first(gmail());
    },
  });
  const listing = (title, reason, name) => ({
    title,
    reason,
    needsSession: true,
    inList: true,
    run: async () => {
      await misbehave('fault', { name, sub: user().sub });
      return list.start({}, { maxResults: 100 });
    },
  });
  return [
    refusal('Gmail’s daily quota is used up', 'rate_limited'),
    refusal('The administrator forbids it', 'domain_policy'),
    refusal('The Gmail API is switched off', 'gmail_disabled'),
    listing('Gmail throttles for a moment', 'goes on by itself', 'throttled_briefly'),
    listing('Gmail throttles halfway', 'incomplete', 'throttled'),
    listing('Access revoked halfway', 'incomplete', 'revoked'),
    listing('Messages that can’t be had', 'unavailable, too_large', 'unreadable'),
    listing('A slow Gmail', 'progress', 'slow'),
    {
      title: 'Access revoked at Google',
      reason: 'revoked',
      needsSession: true,
      run: async () => {
        await misbehave('revoke', { sub: user().sub });
        return first(gmail());
      },
    },
  ];
}
