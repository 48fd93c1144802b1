// @ts-check
//
// The HTTP API and its own OpenAPI document, held against each other by schemathesis: what the document
// allows is accepted, what it forbids is refused, and whatever comes is answered as it says.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { collect } from "../../scripts/setup/run.mjs";
import { ensureSchemathesis } from "../../scripts/setup/schemathesis.mjs";
import { Peer } from "../support/peer.mjs";
import { mintToken, startRelay } from "../support/relay.mjs";

const HOOKS = fileURLToPath(new URL("../schemathesis", import.meta.url));

test("the relay is as its document says, whatever it is asked", async (t) => {
  const tool = await ensureSchemathesis();
  if ("missing" in tool) return t.skip(tool.missing);
  const folder = await mkdtemp(join(tmpdir(), "whoshere-schemathesis-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const relay = await startRelay({
    args: ["--last-seen", "*", "--max-requests-per-address", "0", "--max-requests-per-user", "0"],
  });
  t.after(() => relay.stop());
  const peers = [
    await Peer.join(relay, "alice", "document:1", { section: "goals" }),
    await Peer.join(relay, "bob", "document:2"),
  ];
  const token = mintToken({ sub: "server", can: ["list", "kick", "agent"] });
  const report = join(folder, "report.json");
  const [python = "", ...command] = [...tool.command, "--no-color", "run"];
  const options = [
    ...["--header", `Authorization: Bearer ${token}`],
    ...["--checks", "all", "--seed", "1", "--max-examples", "20"],
    // A stream doesn't end, and schemathesis reads answers to their end. events.test.mjs has its events.
    ...["--exclude-operation-id", "events"],
    // A machine that is busy is no finding.
    ...["--suppress-health-check", "all"],
    ...["--generation-database", "none"],
    ...["--report", "json", "--report-json-path", report],
  ];
  const { ok, output } = await collect(
    python,
    [...command, `${relay.http}/v1/openapi.json`, ...options],
    {
      cwd: folder,
      env: {
        ...process.env,
        ...tool.env,
        PYTHONPATH: [tool.env.PYTHONPATH, HOOKS].join(":"),
        SCHEMATHESIS_HOOKS: "hooks",
        PYTHONDONTWRITEBYTECODE: "1",
      },
    },
  );
  assert.ok(ok, output);

  const { operations, phases, valid_rates } = JSON.parse(await readFile(report, "utf8"));
  assert.deepEqual([operations.tested, operations.total], [11, 12], output);
  for (const phase of ["coverage", "fuzzing", "stateful"]) {
    assert.equal(phases[phase].status, "success", output);
  }
  const rates = Object.entries(valid_rates);
  assert.equal(rates.length, 11, output);
  for (const [operation, { coverage }] of rates) {
    assert.ok(coverage.accepted > 0, `${operation} never did what it is there for\n${output}`);
  }
  for (const peer of peers) await peer.close(1001);
});
