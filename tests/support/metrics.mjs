// @ts-check
//
// Reads what Prometheus reads, and refuses what it would refuse.
import assert from "node:assert/strict";

const SUFFIXES = {
  counter: ["_total"],
  gauge: [""],
  histogram: ["_bucket", "_sum", "_count"],
};

/**
 * Parses the OpenMetrics text format.
 *
 * @param {string} text
 * @returns {Map<string, number>} each sample by its name and labels, as it is written
 */
export function parseMetrics(text) {
  assert.ok(text.endsWith("\n# EOF\n"), "it ends as it should");
  /** @type {Map<string, number>} */
  const samples = new Map();
  /** @type {{ name: string, type?: keyof typeof SUFFIXES } | undefined} */
  let family;
  const families = new Set();
  for (const line of text.slice(0, -"# EOF\n".length).trimEnd().split("\n")) {
    const meta = /^# (HELP|TYPE|UNIT) (\w+) (.+)$/.exec(line);
    if (meta !== null) {
      const [, what, name = "", value = ""] = meta;
      if (what === "HELP") {
        assert.ok(!families.has(name), `${name} is there twice`);
        families.add(name);
        family = { name };
      }
      assert.equal(family?.name, name, line);
      if (what === "TYPE") family.type = /** @type {keyof typeof SUFFIXES} */ (value);
      if (what === "UNIT") assert.ok(name.endsWith(`_${value}`), line);
      continue;
    }
    const sample = /^(\w+)(\{\w+="[^"]*"(?:,\w+="[^"]*")*\})? (\S+)$/.exec(line);
    assert.ok(sample !== null, `not a sample: ${line}`);
    const [, name = "", labels = "", value] = sample;
    assert.ok(family?.type !== undefined && name.startsWith(family.name), line);
    assert.ok(SUFFIXES[family.type].includes(name.slice(family.name.length)), line);
    assert.ok(Number(value) >= 0, line);
    assert.ok(!samples.has(name + labels), `${line} is there twice`);
    samples.set(name + labels, Number(value));
  }
  return samples;
}

/**
 * Asks a relay for its metrics.
 *
 * @param {{ metrics: string }} relay
 */
export async function metricsOf({ metrics }) {
  const response = await fetch(metrics);
  assert.equal(response.status, 200);
  assert.match(String(response.headers.get("content-type")), /^application\/openmetrics-text/);
  const text = await response.text();
  return { text, samples: parseMetrics(text) };
}
