/** Everything that comes from outside reaches the document as text, through here. */

export const byID = (id) => document.getElementById(id);

/** An element with properties and children; strings become text. */
export function element(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

export function button(label, onclick, className = '') {
  return element('button', { type: 'button', textContent: label, onclick, className });
}

export const code = (text) => element('code', { textContent: text });

/** Shows one of several elements and hides the others; none when `shown` is null. */
export function showOnly(shown, ...all) {
  for (const node of all) node.hidden = node !== shown;
}
