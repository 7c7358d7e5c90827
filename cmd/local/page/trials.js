/** Requests that fail on purpose, so that a front-end developer meets every reason once. */

const elsewhere = 'https://elsewhere.example/';
const forgedVerifier = 'v'.repeat(43);

const json = (value) => ({
  method: 'POST',
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify(value),
});

/**
 * What can be tried with `functions`. `state` tells {user, cursor} at the time of the
 * click. Those with `needsSession` make sense only for somebody signed in.
 */
export function trials(functions, state, standIn) {
  const list = (parameters, options) => functions.call('listmessages', parameters, options);
  const always = [
    { title: 'A parameter that is no number', reason: 'invalid_request', run: () => list({ maxResults: 'many' }) },
    { title: 'A parameter nobody knows', reason: 'invalid_request', run: () => list({ colour: 'blue' }) },
    {
      title: 'The cursor of another search',
      reason: 'invalid_request',
      needsSession: true,
      run: () => list({ q: 'something else', pageToken: state().cursor ?? 'made-up' }),
    },
    { title: 'No session', reason: 'no_session', run: () => list({}, { credentials: 'omit' }) },
    { title: 'A forged session', reason: 'no_session', run: () => list({}, { headers: { Authorization: 'Bearer forged' } }) },
    { title: 'A wrong method', reason: 'method_not_allowed', run: () => list({}, { method: 'POST' }) },
    { title: 'A foreign place to return to', reason: 'invalid_return_to', run: () => functions.call('authurl', { return_to: elsewhere }) },
    { title: 'Text where JSON belongs', reason: 'unsupported_media_type', run: () => functions.call('callback', {}, { method: 'POST', body: 'code' }) },
    {
      title: 'A code that is not ours',
      reason: 'code_exchange_failed',
      run: () => functions.call('callback', {}, json({ code: 'made-up', code_verifier: forgedVerifier })),
    },
  ];
  return standIn ? [...always, ...standInTrials(list, state)] : always;
}

/** What only the stand-in can do: misbehave when asked to. */
function standInTrials(list, state) {
  const misbehave = (what, parameters) =>
    fetch(`/stand-in/${what}?${new URLSearchParams(parameters)}`, { method: 'POST' });
  const fault = (title, reason) => ({
    title,
    reason,
    needsSession: true,
    run: async () => {
      await misbehave('fault', { reason });
      return list({});
    },
  });
  return [
    fault('Gmail’s daily quota is used up', 'rate_limited'),
    fault('The administrator forbids it', 'domain_policy'),
    fault('The Gmail API is switched off', 'gmail_disabled'),
    {
      title: 'Access revoked at Google',
      reason: 'revoked',
      needsSession: true,
      run: async () => {
        await misbehave('revoke', { sub: state().user.sub });
        return list({});
      },
    },
  ];
}
