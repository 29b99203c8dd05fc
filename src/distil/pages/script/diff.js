// Word differences between an answer and what it was scored against. Not a metric.

const WORDS = /\s+|[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Khmer}\p{Script=Lao}\p{Script=Myanmar}]\p{M}*|[\p{L}\p{M}\p{N}_]+|[^\s]/gu;
const MOST_CELLS = 6e6; // of the comparison's table: about 2,400 x 2,400 words
const LEAST_LIKENESS = 0.35; // below, nearly every word would be marked

/** Words, blanks and punctuation; scripts without blanks by character. Joined, they are the text. */
function wordsOf(text) { return text.match(WORDS) || []; }

const isBlank = (word) => /^\s/.test(word);
const sameWord = (a, b) => a === b || (isBlank(a) && isBlank(b));

/**
 * Parts of an answer beside its target: [["same" | "gone" | "new", text], ...], in reading order; "gone" is only in the target.
 * Null where the two have too little in common, or are too long, for marks that help.
 */
function wordDiff(target, answer) {
  const left = wordsOf(target), right = wordsOf(answer);
  let start = 0, end = 0;
  while (start < left.length && start < right.length && sameWord(left[start], right[start])) start++;
  while (end < left.length - start && end < right.length - start
    && sameWord(left[left.length - 1 - end], right[right.length - 1 - end])) end++;
  const a = left.slice(start, left.length - end), b = right.slice(start, right.length - end);
  if ((a.length + 1) * (b.length + 1) > MOST_CELLS) return null;
  const middle = align(a, b);
  const parts = [];
  const add = (kind, word) => {
    const last = parts[parts.length - 1];
    if (last && last[0] === kind) last[1] += word; else parts.push([kind, word]);
  };
  right.slice(0, start).forEach((word) => add("same", word));
  middle.forEach(([kind, word]) => add(kind, word));
  right.slice(right.length - end).forEach((word) => add("same", word));
  const solid = (words) => words.filter((word) => !isBlank(word)).length;
  const kept = parts.filter(([kind]) => kind === "same").reduce((sum, [, text]) => sum + solid(wordsOf(text)), 0);
  const whole = solid(left) + solid(right);
  return whole && 2 * kept / whole < LEAST_LIKENESS ? null : bridge(parts);
}

/** Longest common subsequence of two lists of words, as parts. */
function align(a, b) {
  const wide = b.length + 1, best = new Uint16Array((a.length + 1) * wide);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      best[i * wide + j] = sameWord(a[i], b[j])
        ? best[(i + 1) * wide + j + 1] + 1
        : Math.max(best[(i + 1) * wide + j], best[i * wide + j + 1]);
    }
  }
  const parts = [];
  let i = 0, j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && sameWord(a[i], b[j])) { parts.push(["same", b[j]]); i++; j++; }
    else if (j >= b.length || (i < a.length && best[(i + 1) * wide + j] >= best[i * wide + j + 1])) parts.push(["gone", a[i++]]);
    else parts.push(["new", b[j++]]);
  }
  return parts;
}

/** A blank between two marked words belongs to the marks: one change reads as one change, not as confetti. */
function bridge(parts) {
  const out = [];
  let gone = "", fresh = "";
  const flush = () => {
    if (gone) out.push(["gone", gone]);
    if (fresh) out.push(["new", fresh]);
    gone = fresh = "";
  };
  parts.forEach(([kind, text], n) => {
    const next = parts[n + 1];
    const between = kind === "same" && isBlank(text) && !text.trim() && (gone || fresh) && next && next[0] !== "same";
    if (kind === "gone" || between) gone += text;
    if (kind === "new" || between) fresh += text;
    if (kind === "same" && !between) { flush(); out.push([kind, text]); }
  });
  flush();
  return out;
}

/** Numbers of an answer that neither its target nor the prompt has: what is marked where the wording is too different. */
function strangeNumbers(answer, known) {
  const seen = new Set(known.match(/\d+/g) || []);
  return answer.split(/(\d+)/).map((text) => [/^\d+$/.test(text) && !seen.has(text) ? "new" : "same", text]);
}

/** Fills a block with an answer marked against its target; returns what a reader should know of the marks, or "". */
function markAnswer(block, answer, target, prompt) {
  const parts = wordDiff(target, answer);
  for (const [kind, text] of parts || strangeNumbers(answer, target + " " + prompt)) {
    if (kind === "same") { appendText(block, text); continue; }
    const mark = el(kind === "gone" ? "del" : "ins", {});
    appendText(mark, text);
    block.append(mark);
  }
  return parts ? "" : "Little wording in common: marked are only numbers that neither the prompt nor the target has.";
}
