/**
 * The objects of an application/x-ndjson stream, one a line, as they arrive. A stream
 * that breaks off just ends, without the line that broke.
 */
export async function* jsonLines(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { value, done } = await reader.read().catch(orBrokenOff);
      if (done) return;
      const lines = (rest + value).split('\n');
      rest = lines.pop();
      for (const line of lines) yield JSON.parse(line);
    }
  } finally {
    reader.cancel().catch(() => {}); // for whoever stops reading early
  }
}

function orBrokenOff(error) {
  if (error.name === 'AbortError') throw error;
  return { done: true };
}
