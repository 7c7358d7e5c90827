/** A message as Gmail gives it, read for people. Everything returned is text, never HTML. */

/** The first header of that name, with its encoded words decoded. */
export function header(message, name) {
  return decodeWords(rawHeader(message.payload, name));
}

/** Who wrote a message: the name, or the address when there is none. */
export function sender(message) {
  return displayName(rawHeader(message.payload, 'From'));
}

export function subject(message) {
  return header(message, 'Subject') || '(no subject)';
}

/** When Gmail received the message, or else what its sender claims; null if neither makes sense. */
export function date(message) {
  const date = new Date(Number(message.internalDate) || rawHeader(message.payload, 'Date'));
  return Number.isNaN(date.getTime()) ? null : date;
}

export function isUnread(message) {
  return message.labelIds?.includes('UNREAD') ?? false;
}

const entities = { amp: '&', lt: '<', gt: '>', quot: '"' };

/** The beginning of the text, in which Gmail escapes what means something in HTML. */
export function snippet(message) {
  return (message.snippet ?? '').replace(/&(?:(amp|lt|gt|quot)|#(\d{1,6}));/g, (_, name, number) =>
    name ? entities[name] : String.fromCodePoint(number));
}

/** {text, fromHTML}: the text to read, taken from the HTML only if there is no other. */
export function content(message) {
  const plain = texts(message.payload, 'text/plain');
  if (plain.length) return { text: plain.join('\n'), fromHTML: false };
  const html = texts(message.payload, 'text/html');
  return { text: html.map(textOfHTML).join('\n'), fromHTML: html.length > 0 };
}

/** [{name, size}], with sizes in bytes. */
export function attachments(message) {
  return leaves(message.payload)
    .filter((part) => part.filename || part.body?.attachmentId)
    .map((part) => ({ name: decodeWords(part.filename || part.mimeType), size: part.body?.size ?? 0 }));
}

/** The name in an address, or the address when there is none. */
export function displayName(from) {
  const at = from.lastIndexOf('<');
  if (at < 0) return decodeWords(from).trim();
  const name = from.slice(0, at).trim();
  const [, quoted] = /^"(.*)"$/s.exec(name) ?? [];
  return decodeWords(quoted?.replace(/\\(.)/g, '$1') ?? name).trim() || from.slice(at + 1).replace(/>.*$/s, '');
}

/** Decodes the encoded words of RFC 2047, =?charset?Q|B?…?=; those it can't stay as they are. */
export function decodeWords(text) {
  return text
    .replace(/(\?=)\s+(?==\?[^?\s]+\?[bq]\?)/gi, '$1')
    .replace(/=\?([^?*\s]+)(?:\*[^?\s]*)?\?([bq])\?([^?\s]*)\?=/gi, (word, charset, encoding, encoded) => {
      try {
        const bytes = encoding.toLowerCase() === 'b' ? bytesOfBase64(encoded) : bytesOfQ(encoded);
        return new TextDecoder(charset).decode(bytes);
      } catch {
        return word;
      }
    });
}

/**
 * Text from bytes. Gmail hands most text on as UTF-8, whatever charset the part
 * names, but not all of it; an escape character is the mark of ISO-2022, whose bytes
 * look like UTF-8.
 */
export function decodeText(bytes, charset) {
  if (!bytes.includes(0x1b)) {
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch {
      // not UTF-8, so the charset counts
    }
  }
  try {
    return new TextDecoder(charset).decode(bytes);
  } catch {
    return new TextDecoder().decode(bytes);
  }
}

function rawHeader(part, name) {
  return part?.headers?.find((h) => h.name.toLowerCase() === name.toLowerCase())?.value ?? '';
}

/** The parts of a MIME tree that have no parts. */
function leaves(part) {
  if (!part) return [];
  return part.parts?.length ? part.parts.flatMap(leaves) : [part];
}

function texts(payload, mimeType) {
  return leaves(payload)
    .filter((part) => part.mimeType === mimeType && !part.filename && part.body?.data)
    .map((part) => decodeText(bytesOfBase64(part.body.data), charsetOf(part)));
}

function charsetOf(part) {
  return /charset\s*=\s*"?([^\s";]+)/i.exec(rawHeader(part, 'Content-Type'))?.[1] ?? 'utf-8';
}

/** Both alphabets of base64, with or without padding. */
function bytesOfBase64(encoded) {
  const binary = atob(encoded.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

function bytesOfQ(encoded) {
  const binary = encoded.replaceAll('_', ' ').replace(/=([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

const invisible = 'head, script, style, template, title';
const blocks = 'blockquote, br, div, h1, h2, h3, h4, h5, h6, hr, li, p, pre, table, tr';

/** The text of HTML, out of a document that nothing runs in or is loaded for. */
function textOfHTML(html) {
  const { body } = new DOMParser().parseFromString(withoutStyle(html), 'text/html');
  for (const node of body.querySelectorAll(invisible)) node.remove();
  const walker = body.ownerDocument.createTreeWalker(body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) walker.currentNode.data = walker.currentNode.data.replace(/\s+/g, ' ');
  for (const node of body.querySelectorAll(blocks)) node.after('\n');
  return body.textContent.replace(/ *\n */g, '\n').replace(/\n{3,}/g, '\n\n').trim();
}

/**
 * HTML whose styles and event handlers have other names. The page's policy keeps them
 * from working as it is, but complains of each in the console.
 */
function withoutStyle(html) {
  return html
    .replace(/(?<=<\/?)style\b/gi, 'title')
    .replace(/<[a-z][^<>]*>/gi, (tag) => tag.replace(/(?<=["'\s/])(?=(?:style|on[a-z]+)\s*=)/gi, 'data-'));
}
