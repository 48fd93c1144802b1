// @ts-check
//
// Looking on unseen: whoever does sees everything and says nothing, and can change their mind.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Stage, until } from "../support/browser.mjs";
import { mintToken } from "../support/relay.mjs";

const stage = new Stage();

const ALL = ["join", "observe", "invisible", "pulse"];

test("who observes sees the others and is nowhere, and is there as soon as they want to be", async (t) => {
  const key = stage.key(t);
  const alice = await stage.blank(t, "alice");
  await alice.enter({ key, token: mintToken("alice") });
  const eve = await stage.blank(t, "eve");
  await eve.enter({ key, token: mintToken("eve"), mode: "observe", meta: { section: "goals" } });
  await eve.sees(["alice"]);
  assert.equal(await eve.page.evaluate("here.self"), null);
  assert.equal(await eve.page.evaluate("here.count"), 1);

  // All that a page can say, it doesn't.
  await eve.page.evaluate(() => {
    const { here } = /** @type {any} */ (window);
    const field = document.body.appendChild(document.createElement("textarea"));
    Object.assign(window, { field });
    here.typing(field);
    here.cursors(document.body);
    here.update({ n: 1 });
    here.at("cell:B7");
    here.pulse("progress", 7);
  });
  const bob = await stage.blank(t, "bob");
  await bob.enter({ key, token: mintToken("bob") });
  await eve.hasSaid("bob joined");
  await eve.sees(["alice", "bob"]);
  await eve.page.locator("textarea").pressSequentially("hello");
  await eve.page.mouse.move(40, 40);
  await bob.page.evaluate("here.pulse('progress', 1)");
  const progress = () => eve.page.evaluate("here.pulses('progress').length");
  await until("eve hears bob", async () => (await progress()) === 1);
  await bob.page.evaluate("here.leave()");
  await eve.hasHeard(["state live", "join bob", "leave bob left"], undefined, /^update/);
  await alice.hasHeard(["state live", "join bob", "leave bob left"], undefined, /^update/);
  await alice.sees(["alice"]);

  await eve.page.evaluate("here.mode = 'join'");
  await alice.sees(["alice", "eve"]);
  const meta = await alice.page.evaluate("here.members.at(-1).meta");
  assert.deepEqual(meta, { section: "goals", n: 1, at: "cell:B7" }, "what was said meanwhile");
  await eve.sees(["alice", "eve"]);
  assert.equal(await eve.page.evaluate("here.self.name"), "eve");
  await alice.hasSaid("eve joined");

  await eve.page.evaluate("here.mode = 'observe'");
  assert.deepEqual(await eve.bar(), ["1 here", "alice"], "at once");
  await alice.sees(["alice"]);
  assert.equal(await eve.page.evaluate("here.mode"), "observe");
  assert.deepEqual(
    (await eve.flashes()).filter((it) => it.includes("eve")),
    [],
  );
});

test("a mode that the token doesn't allow is refused with a code, and nobody is left in sight", async (t) => {
  const key = stage.key(t);
  const alice = await stage.blank(t, "alice");
  await alice.enter({ key, token: mintToken("alice") });
  const eve = await stage.blank(t, "eve");
  await eve.connect({ key, token: mintToken("eve"), mode: "invisible" });
  const code = await eve.page.evaluate("here.ready.catch(({ code }) => code)");
  assert.equal(code, "key_denied");
  await eve.hasHeard(["state stopped key_denied", "error key_denied"], undefined, /^state live/);

  const bob = await stage.blank(t, "bob");
  await bob.enter({ key, token: mintToken("bob") });
  await alice.sees(["alice", "bob"]);
  await bob.page.evaluate("here.mode = 'invisible'");
  await alice.sees(["alice"]);
  await until("bob knows", async () => (await bob.events()).includes("error key_denied"));
  await bob.page.evaluate("here.mode = 'join'");
  assert.equal(await bob.page.evaluate("here.state"), "stopped");

  const carol = await stage.blank(t, "carol");
  await carol.enter({ key, token: mintToken({ sub: "carol", can: ALL }), mode: "invisible" });
  await carol.sees(["alice"]);
  await alice.sees(["alice"]);
});

test("who observes knows their own other tab, and greets them not", async (t) => {
  const key = stage.key(t);
  const eve = await stage.blank(t, "eve");
  await eve.enter({ key, token: mintToken("eve"), mode: "observe" });
  const tab = await stage.blank(t, "eve's other tab");
  await tab.enter({ key, token: mintToken("eve") });
  const bob = await stage.blank(t, "bob");
  await bob.enter({ key, token: mintToken("bob") });
  await eve.hasSaid("bob joined");
  assert.deepEqual(await eve.bar(), ["2 here", "bob", "eve"]);
  assert.equal(await eve.dot("eve").locator(".presence-note").textContent(), " (you)");
  assert.equal(await eve.page.evaluate("here.self.name"), "eve");
  await tab.page.evaluate("here.leave()");
  await eve.sees(["bob"]);
  assert.equal(await eve.page.evaluate("here.self"), null);
  await eve.hasHeard(["state live", "join bob"], undefined, /^update/);
  assert.deepEqual(await eve.flashes(), ["bob joined"]);
});

test("who logs in while they observe is somebody else from then on", async (t) => {
  const key = stage.key(t);
  const bob = await stage.blank(t, "bob");
  await bob.enter({ key, token: mintToken("bob") });
  const eve = await stage.blank(t, "eve");
  const tokens = [mintToken("eve"), mintToken("bob")];
  await eve.page.route("**/token", (route) => route.fulfill({ body: tokens.shift() }));
  await eve.enter({ key, tokenPath: "/token", mode: "observe" });
  await eve.sees(["bob"]);
  assert.equal(await eve.page.evaluate("here.self"), null);
  await eve.page.evaluate("here.renewToken()");
  await until("bob is who looks", async () => {
    return (await eve.page.evaluate("here.self?.name")) === "bob";
  });
  assert.equal(await eve.dot("bob").locator(".presence-note").textContent(), " (you)");
});

test("who observes is still unseen after a drop", async (t) => {
  const key = stage.key(t);
  const proxy = await stage.proxy(t);
  const alice = await stage.blank(t, "alice");
  await alice.enter({ key, token: mintToken("alice") });
  const eve = await stage.blank(t, "eve", { at: proxy.http });
  eve.mayLoseNetwork = true;
  await eve.enter({ key, token: mintToken("eve"), mode: "observe" });
  await eve.sees(["alice"]);
  proxy.reset();
  await until("eve is back", async () => {
    return (await eve.events()).join().endsWith("state reconnecting,state live");
  });
  const bob = await stage.blank(t, "bob");
  await bob.enter({ key, token: mintToken("bob") });
  await eve.sees(["alice", "bob"]);
  await alice.sees(["alice", "bob"]);
  await bob.sees(["alice", "bob"]);
});

test("connects of a page with one key have the mode in common", async (t) => {
  const key = stage.key(t);
  const eve = await stage.blank(t, "eve");
  const token = mintToken("eve");
  await eve.enter({ key, token, mode: "observe" });
  const { code, message } = await eve.connectError({ key, token });
  assert.deepEqual([code, message.includes("mode")], ["bad_options", true]);
  const wrong = await eve.connectError({ key, token, mode: "hide" });
  assert.match(wrong.message, /mode: must be one of join, observe, invisible/);
  const modes = await eve.page.evaluate(
    async (options) => {
      const { connect } = await import("/sdk/index.js");
      const all = /** @type {any} */ ({ url: "/v1/presence", mode: "observe", ...options });
      const second = await connect(all);
      second.mode = "join";
      const { here } = /** @type {any} */ (window);
      try {
        here.mode = "hide";
      } catch (error) {
        return [here.mode, second.mode, /** @type {any} */ (error).code];
      }
    },
    { key, token },
  );
  assert.deepEqual(modes, ["join", "join", "bad_options"]);
  await eve.sees(["eve"]);
});

test("of the tag it is an attribute that may change, and a property", async (t) => {
  const key = stage.key(t);
  const alice = await stage.blank(t, "alice");
  await alice.enter({ key, token: mintToken("alice") });
  const eve = await stage.blank(t, "eve");
  await eve.page.evaluate(
    async ({ key, token }) => {
      await import("/sdk/element.js");
      const element = document.createElement("whos-here");
      for (const [name, value] of Object.entries({ url: "/v1/presence", key, mode: "observe" })) {
        element.setAttribute(name, value);
      }
      Object.assign(element, { token });
      document.body.append(element);
      Object.assign(window, { element });
    },
    { key, token: mintToken("eve") },
  );
  const shown = () => eve.page.locator("whos-here .presence-count").textContent();
  await until("eve sees alice", async () => (await shown()) === "1 here");
  const same = await eve.page.evaluate(() => {
    const { element } = /** @type {any} */ (window);
    const { here } = element;
    Object.assign(window, { first: here });
    element.mode = "join";
    return element.getAttribute("mode");
  });
  assert.equal(same, "join");
  await alice.sees(["alice", "eve"]);
  await until("eve sees herself", async () => (await shown()) === "2 here");
  await eve.page.evaluate("element.setAttribute('mode', 'observe')");
  await alice.sees(["alice"]);
  assert.equal(await eve.page.evaluate("element.here === first"), true, "it entered once");

  // One that isn't allowed ends it, and another one begins anew.
  await eve.page.evaluate(() => {
    const { element } = /** @type {any} */ (window);
    element.addEventListener("whoshere-error", (/** @type {any} */ event) => {
      event.preventDefault();
      Object.assign(window, { code: event.detail.code });
    });
    element.mode = "invisible";
  });
  await until(
    "it is refused",
    async () => (await eve.page.evaluate("window.code")) === "key_denied",
  );
  await eve.page.evaluate("element.mode = 'join'");
  await alice.sees(["alice", "eve"]);
});

test("the test kit knows those who look on", async (t) => {
  const viewer = await stage.blank(t, "somebody");
  const seen = await viewer.page.evaluate(async () => {
    const { createKit } = await import("/sdk/testing.js");
    const kit = await createKit({ seed: 7 });
    const can = ["join", "invisible"];
    const here = await kit.connect({ key: "document:42", user: "alice", can, mode: "invisible" });
    const bob = kit.user("bob").opens("document:42");
    await kit.tick();
    const names = () => [here, bob].map(({ members }) => members.map(({ name }) => name).join());
    const unseen = names();
    here.mode = "join";
    await kit.tick();
    const joined = names();
    let code = "";
    here.on("error", (error) => {
      code = error.code;
    });
    here.mode = "observe";
    await kit.tick();
    const end = [here.state, code, bob.members.length];
    kit.close();
    return [unseen, joined, end];
  });
  assert.deepEqual(seen, [
    ["bob", "bob"],
    ["bob,alice", "bob,alice"],
    ["stopped", "key_denied", 1],
  ]);
});
