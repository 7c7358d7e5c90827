/** What can go wrong, on purpose, so that a front-end developer meets everything once. */

const elsewhere = 'https://elsewhere.example/';
const forgedVerifier = 'v'.repeat(43);

const json = (value) => ({
  method: 'POST',
  headers: { 'Content-Type': 'application/json' },
  body: JSON.stringify(value),
});

/** The lines of a list as far as they come before the connection breaks off. */
const cutAfter = (most) =>
  async function* (lines) {
    let count = 0;
    for await (const line of lines) {
      yield line;
      if (++count === most) return;
    }
  };

/**
 * What can be tried with `functions`. `who` tells who is signed in at the time of the
 * click. Those with `needsSession` make sense only for somebody signed in; those with
 * `inList` show in `list` what they do.
 */
export function trials(functions, list, who, standIn) {
  const call = (parameters, options) => functions.call('listmessages', parameters, options);
  const always = [
    { title: 'A parameter that is no number', reason: 'invalid_request', run: () => call({ maxResults: 'many' }) },
    { title: 'A parameter nobody knows', reason: 'invalid_request', run: () => call({ colour: 'blue' }) },
    {
      title: 'The cursor of another search',
      reason: 'invalid_request',
      needsSession: true,
      run: () => call({ q: 'something else', pageToken: list.cursor ?? 'made-up' }),
    },
    { title: 'No session', reason: 'no_session', run: () => call({}, { credentials: 'omit' }) },
    { title: 'A forged session', reason: 'no_session', run: () => call({}, { headers: { Authorization: 'Bearer forged' } }) },
    { title: 'A wrong method', reason: 'method_not_allowed', run: () => call({}, { method: 'POST' }) },
    { title: 'A foreign place to return to', reason: 'invalid_return_to', run: () => functions.call('authurl', { return_to: elsewhere }) },
    { title: 'Text where JSON belongs', reason: 'unsupported_media_type', run: () => functions.call('callback', {}, { method: 'POST', body: 'code' }) },
    {
      title: 'A code that is not ours',
      reason: 'code_exchange_failed',
      run: () => functions.call('callback', {}, json({ code: 'made-up', code_verifier: forgedVerifier })),
    },
    {
      title: 'A connection that is cut',
      reason: 'no last line',
      needsSession: true,
      inList: true,
      run: () => list.start({}, { through: cutAfter(20) }),
    },
  ];
  return standIn ? [...always, ...standInTrials(call, list, who)] : always;
}

/** What only the stand-in can do: misbehave when asked to. */
function standInTrials(call, list, who) {
  const misbehave = (what, parameters) =>
    fetch(`/stand-in/${what}?${new URLSearchParams(parameters)}`, { method: 'POST' });
  const refusal = (title, reason) => ({
    title,
    reason,
    needsSession: true,
    run: async () => {
      await misbehave('fault', { name: reason });
      return call({});
    },
  });
  const listing = (title, reason, name) => ({
    title,
    reason,
    needsSession: true,
    inList: true,
    run: async () => {
      await misbehave('fault', { name, sub: who().sub });
      return list.start({}, { maxResults: 100 });
    },
  });
  return [
    refusal('Gmail’s daily quota is used up', 'rate_limited'),
    refusal('The administrator forbids it', 'domain_policy'),
    refusal('The Gmail API is switched off', 'gmail_disabled'),
    listing('Gmail throttles halfway', 'incomplete', 'throttled'),
    listing('Access revoked halfway', 'incomplete', 'revoked'),
    listing('Messages that can’t be had', 'unavailable, too_large', 'unreadable'),
    listing('A slow Gmail', 'progress', 'slow'),
    {
      title: 'Access revoked at Google',
      reason: 'revoked',
      needsSession: true,
      run: async () => {
        await misbehave('revoke', { sub: who().sub });
        return call({});
      },
    },
  ];
}
