'use strict';

// Lists messages with Google's libraries for Node: GET ?user=SUB&max=N. It trusts the
// caller to be that user. The clients of Secret Manager and Firestore are kept, as
// every example has it. With KEEP=1 so is a user's OAuth client with its access token,
// so that a warm request makes the Gmail call only, and pages are large ones.
const functions = require('@google-cloud/functions-framework');
const { Firestore } = require('@google-cloud/firestore');
const { SecretManagerServiceClient } = require('@google-cloud/secret-manager');
const gmail = require('@googleapis/gmail');

const keep = process.env.KEEP === '1';
const pageSize = keep ? 500 : 100;
const secrets = new SecretManagerServiceClient();
const documents = new Firestore();
const kept = new Map();

async function authorize(user) {
  if (kept.has(user)) return kept.get(user);
  const project = process.env.GOOGLE_CLOUD_PROJECT;
  const [version] = await secrets.accessSecretVersion({ name: `projects/${project}/secrets/gmailgrant-client/versions/latest` });
  const { web } = JSON.parse(version.payload.data.toString());
  const grant = await documents.collection('tokens').doc(user).get();
  const auth = new gmail.auth.OAuth2(web.client_id, web.client_secret);
  auth.setCredentials({ refresh_token: grant.get('refresh_token') });
  if (keep) kept.set(user, auth);
  return auth;
}

async function list(api, most) {
  const messages = [];
  let pageToken;
  do {
    const { data } = await api.users.messages.list({
      userId: 'me',
      includeSpamTrash: true,
      maxResults: Math.min(pageSize, most - messages.length),
      pageToken,
      ...(keep && { fields: 'messages(id,threadId),nextPageToken,resultSizeEstimate', prettyPrint: false }),
    });
    messages.push(...(data.messages ?? []));
    pageToken = data.nextPageToken;
  } while (pageToken && messages.length < most);
  return messages;
}

functions.http('listmessages', async (request, response) => {
  if (request.method === 'OPTIONS') {
    response.status(204).end();
    return;
  }
  const api = gmail.gmail({ version: 'v1', auth: await authorize(request.query.user) });
  response.json({ messages: await list(api, Number(request.query.max)) });
});
