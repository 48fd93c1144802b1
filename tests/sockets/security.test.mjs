// @ts-check
//
// SECURITY.md names every refusal, and for each a test that is there.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const REPO_ROOT = fileURLToPath(new URL("../..", import.meta.url));
const read = (/** @type {string} */ path) => readFileSync(join(REPO_ROOT, path), "utf8");

const paper = read("SECURITY.md");
const protocol = read("presence-protocol/src/close.rs");
const config = read("relay-server/src/config.rs") + read("relay-server/src/command.rs");
const metrics = read("relay-server/src/metrics.rs");
const relay = readdirSync(join(REPO_ROOT, "relay-server/src"), { recursive: true })
  .map(String)
  .filter((it) => it.endsWith(".rs"))
  .map((it) => read(join("relay-server/src", it)))
  .join("\n");

/** Problems are made with a status and a code; `denied` of the API is a shorthand for one status. */
const PROBLEM =
  /(?:Self|Problem)::new\(\s*(?:StatusCode::\w+|status),\s*"(\w+)"|\bdenied\("(\w+)", "/g;

test("every code over HTTP stands where it can be found", () => {
  const others = found(relay, /(?<!pub\(crate\) fn )\bProblem::new\(\s*[\w:]+,\s*(?!")([\w.]+)/g);
  assert.deepEqual(others, ["code"], "but for the shorthand's own");
});

for (const [title, codes, atLeast] of /** @type {const} */ ([
  ["Close codes", found(protocol, /^ {4}\w+ = \d+, "(\w+)", \w+;/gm), 12],
  ["Errors", found(protocol, /^ {4}\w+ = "(\w+)";/gm), 10],
  ["Answers over HTTP", found(relay, PROBLEM), 11],
  ["Ends of a stream of events", found(relay, /\bend\("(\w+)"\)/g), 3],
  // What is told late is counted by the core, with other things.
  ["Without an answer", ["late", ...found(metrics, /^ +Self::\w+ => "(\w+)",$/gm)].sort(), 7],
  ["A relay that doesn't start", found(config, /#\[error\(\s*"(\w+): /g), 7],
])) {
  test(`SECURITY.md knows what is in the code, and nothing else: ${title}`, () => {
    assert.ok(codes.length >= atLeast, `only ${codes} were found in the code`);
    assert.deepEqual([...new Set(rows(title).map(({ code }) => code))].sort(), codes);
  });

  test(`every test that SECURITY.md names is there: ${title}`, () => checkTests(title));
}

/** @param {string} title */
function checkTests(title) {
  for (const { code, shown } of rows(title)) {
    const [, path = "", name = ""] = /^`([^`]+)`: (.+)$/.exec(shown) ?? [];
    assert.ok(path !== "" && name !== "", `${code} names no test`);
    assert.ok(read(path).includes(name), `${path} has no test "${name}"`);
  }
}

/**
 * @param {string} title
 * @returns {{ code: string, shown: string }[]} the rows of the table under a title
 */
function rows(title) {
  const section = paper.split(`### ${title}\n`)[1]?.split("\n#")[0] ?? "";
  return [...section.matchAll(/^\| `(\w+)` \| .* \| (.+) \|$/gm)].map((it) => ({
    code: String(it[1]),
    shown: String(it[2]),
  }));
}

/**
 * @param {string} text
 * @param {RegExp} pattern
 * @returns {string[]} what the pattern's groups found, each once, sorted
 */
function found(text, pattern) {
  const codes = [...text.matchAll(pattern)].flatMap((it) => it.slice(1));
  return [...new Set(codes.filter((it) => it !== undefined))].sort();
}
