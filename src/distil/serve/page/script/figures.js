// The figures: tiles, who answered and why, the last hour.

const WHY = {
  confident: "it was sure", unsure: "the student was unsure", fallback_off: "there is no fallback", fallback_always: "it answers everything",
  no_certified_threshold: "no threshold is certified", no_logprobs: "the student's server gave no log-probabilities",
  not_calibrated_at_this_temperature: "a temperature without a certificate", alarm: "audits found more bad answers than promised", not_text: "images or audio", unknown_parameter: "a parameter without a certificate",
  stop_sequences: "stop sequences", requirement_not_met: "the student's answer missed the format that was asked for", too_long_for_student: "too long for the student",
  answer_longer_than_calibrated: "the student's answer was longer than any label's", student_changed: "the student's server answers otherwise than at calibration",
  several_answers: "several answers at once", penalties: "penalties", other_system_prompt: "another system prompt", other_tools: "other tools",
  other_response_format: "another response format", other_turns: "more turns than the labels have", other_length: "shorter or longer than the labels",
  max_tokens_below_calibrated: "fewer tokens allowed than an answer may need", student_full: "the student had no room", student_refused: "the student refused it", student_failed: "the student failed",
};
const STATES = { certified: "certified", none: "nothing certified", uncalibrated: "no promise", void: "certificate void" };

const whole = (number) => number.toLocaleString("en-US");
const percent = (share) => (100 * share).toFixed(share > 0 && share < 0.0995 ? 1 : 0) + "%";
const dollars = (usd) => "$" + (usd >= 100 ? whole(Math.round(usd)) : usd >= 0.01 || usd === 0 ? usd.toFixed(2) : usd.toPrecision(2));
const lasting = (seconds) => (seconds < 0.0995 ? (1000 * seconds).toFixed(seconds < 0.00995 ? 1 : 0) + " ms" : seconds < 1 ? Math.round(1000 * seconds) + " ms" : seconds.toFixed(1) + " s");
function ago(seconds) {
  const [n, unit] = seconds < 90 ? [seconds, "second"] : seconds < 5400 ? [seconds / 60, "minute"] : seconds < 172800 ? [seconds / 3600, "hour"] : [seconds / 86400, "day"];
  const count = Math.max(0, Math.round(n));
  return count + " " + unit + (count === 1 ? "" : "s");
}
function reasonOf(reason) {
  const failed = reason.endsWith("_but_teacher_failed"), plain = failed ? reason.slice(0, -19) : reason;
  return (WHY[plain] || plain.replaceAll("_", " ")) + (failed ? ", and the teacher failed" : "");
}

function drawFigures(state) {
  const total = state.answered.reduce((sum, each) => sum + each.count, 0);
  const own = state.answered.filter((each) => each.by === "student").reduce((sum, each) => sum + each.count, 0);
  const errors = Object.values(state.refused).reduce((sum, count) => sum + count, 0);
  const label = STATES[state.promise.state] || state.promise.state, audit = state.audit;
  const chip = document.getElementById("state");
  const alarm = audit && (audit.state === "alarm" || audit.state === "closed");
  chip.textContent = alarm ? "alarm" : label;
  chip.className = "state " + (alarm || state.promise.state === "void" ? "bad" : state.promise.state === "certified" ? "good" : "plain");
  const promise = document.getElementById("promise");
  promise.replaceChildren();
  state.promise.words.split("`").forEach((words, n) => {
    const part = n % 2 ? el("code", {}) : promise;
    appendText(part, words);
    if (part !== promise) promise.append(part);
  });
  document.getElementById("tiles").replaceChildren(
    tile("answered by the student", total ? percent(own / total) : "-", whole(total) + (total === 1 ? " request in " : " requests in ") + ago(state.now - state.started)),
    tile("saved", state.usd.saved === null ? "-" : dollars(state.usd.saved), state.usd.saved === null ? "there is no teacher to compare with" : "at the teacher's price for the student's tokens; the student's machine not counted"),
    tile("spent on the teacher", dollars(state.usd.spent), state.teacher || "there is none"),
    timeTile(state.seconds),
    auditTile(audit),
    tile("errors", whole(errors), errors ? Object.entries(state.refused).map(([status, count]) => whole(count) + " with " + status).join(", ") : "no request was refused"),
  );
  document.getElementById("reasons").replaceChildren(...state.answered.map((each) => reasonRow(each, total)));
  if (!total) document.getElementById("reasons").append(el("p", { class: "soft" }, "Nothing has been asked yet."));
  document.getElementById("minutes").replaceChildren(...hour(state.minutes));
}

/** Median and 95th percentile of each that has answered. */
function timeTile(seconds) {
  const found = ["student", "teacher"].filter((by) => seconds[by]);
  if (!found.length) return tile("time to answer", "-", "nothing answered yet");
  const note = found.map((by) => by + ": half within " + lasting(seconds[by].p50) + ", 95% within " + lasting(seconds[by].p95)).join("; ");
  return tile("time to answer", found.map((by) => lasting(seconds[by].p50)).join(" / "), note);
}

function tile(name, value, note, kind) {
  const small = el("div", { class: "note" });
  appendText(small, note);
  return el("div", { class: "tile" + (kind ? " " + kind : "") }, el("div", { class: "label" }, name), el("div", { class: "value" }, value), small);
}

function auditTile(audit) {
  if (!audit || audit.error === null) return tile("live error", "-", "no audit yet");
  const words = { holds: "promised: at most ", changed: "the latest look worse; promised: at most ", alarm: "alarm: more than the promised ", closed: "alarm, the teacher answers everything; promised: at most " };
  const note = "between " + percent(audit.low) + " and " + percent(audit.high) + " of its answers are bad, by " + whole(audit.audits) + " audits; " + (words[audit.state] || words.holds) + percent(audit.promised);
  return tile("live error", percent(audit.error), note, audit.state === "holds" ? "" : audit.state === "changed" ? "middle" : "bad");
}

function reasonRow(each, total) {
  const why = el("span", { class: "why" }, el("b", {}, each.by), ": ");
  appendText(why, reasonOf(each.reason));
  const bar = el("span", { class: "bar " + each.by });
  bar.style.width = (100 * each.count) / total + "%";
  return el("div", { class: "reason-row" }, why, el("span", { class: "n" }, whole(each.count), el("i", {}, " " + percent(each.count / total))), el("span", { class: "track" }, bar));
}

/** One column for each minute: the student's answers, the teacher's on top, errors above. */
function hour(minutes) {
  const kinds = ["student", "teacher", "error"];
  const most = Math.max(1, ...minutes.map((each) => kinds.reduce((sum, kind) => sum + (each[kind] || 0), 0)));
  const columns = minutes.map((each) => {
    const column = el("span", { class: "minute", title: kinds.filter((kind) => each[kind]).map((kind) => each[kind] + " " + kind).join(", ") });
    for (const kind of kinds) {
      const part = el("span", { class: kind });
      part.style.height = (100 * (each[kind] || 0)) / most + "%";
      column.prepend(part);
    }
    return column;
  });
  const legend = kinds.map((kind) => el("span", {}, el("span", { class: "key " + kind }), kind));
  return [el("div", { class: "hour", role: "img", "aria-label": "Requests in each minute of the last hour; at most " + most }, ...columns),
    el("div", { class: "legend" }, el("span", {}, "at most " + whole(most) + " a minute"), ...legend)];
}
