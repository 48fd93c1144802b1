import { PresenceError } from "../../js/error.js";
import { connectOptions } from "../../js/options.js";
import { begin, enter, equal, live, ok, place, refused, thrown } from "./world.js";

const good = { url: "wss://relay.example/v1/presence", key: "document:42", token: "token" };
const check = (options) => connectOptions({ ...good, ...options });

export async function an_option_that_is_unknown_is_named() {
  begin();
  refused("bad_options", '"tokn"', () => check({ tokn: 1 }));
  refused("bad_options", '"toString"', () => check({ toString: 1 }));
  const { here } = await live();
  place();
  refused("bad_options", '"maximum"', () => here.bar("#place", { maximum: 3 }));
}

export async function what_is_missing_or_of_the_wrong_type_is_named() {
  begin();
  for (const value of [undefined, null, 42, "text", [], () => {}]) {
    refused("bad_options", "connect", () => connectOptions(value));
  }
  refused("bad_options", "url", () => check({ url: undefined }));
  refused("bad_options", "url", () => check({ url: 42 }));
  refused("bad_options", "key", () => check({ key: undefined }));
  refused("bad_options", "key", () => check({ key: 42 }));
  refused("bad_options", "params", () => check({ params: "x" }));
  refused("bad_options", "params", () => check({ params: ["x"] }));
  for (const token of [undefined, null, "", 42, {}]) {
    refused("bad_options", "token", () => check({ token }));
  }
  for (const dedupe of [null, "session", true]) {
    refused("bad_options", "dedupe", () => check({ dedupe }));
  }
  for (const mode of [null, "hide", true, 1]) {
    refused("bad_options", "mode", () => check({ mode }));
  }
  place();
  const { here } = await live();
  for (const max of [0, 1.5, 1001, Number.NaN, "3", null]) {
    refused("bad_options", "max", () => here.bar("#place", { max }));
  }
  refused("bad_options", "bar", () => here.bar("#place", 3));
  equal(document.querySelector("#place").children.length, 0);
}

export async function how_long_until_away_is_checked() {
  begin();
  for (const away of [
    0,
    null,
    "yes",
    [],
    { idle: 999 },
    { idle: 86_400_001 },
    { idle: 1000.5 },
    { idel: 1 },
  ]) {
    refused("bad_options", "", () => enter({ away }));
  }
  for (const away of [true, false, {}, { idle: 1000 }, { idle: 86_400_000 }]) enter({ away });
}

export async function the_url_may_be_written_in_many_ways() {
  begin();
  const urls = (url) => {
    const { socketUrl, beaconUrl } = check({ url });
    return [socketUrl, beaconUrl];
  };
  const secure = ["wss://relay.example/v1/presence", "https://relay.example/v1/leave"];
  equal(urls("wss://relay.example/v1/presence"), secure);
  equal(urls("https://relay.example/v1/presence#hash"), secure);
  equal(urls(new URL("https://relay.example/v1/presence")), secure);
  equal(urls("ws://relay.example:81/p/v1/presence?a=1"), [
    "ws://relay.example:81/p/v1/presence?a=1",
    "http://relay.example:81/p/v1/leave",
  ]);
  const { host } = location;
  equal(urls("/v1/presence"), [`ws://${host}/v1/presence`, `http://${host}/v1/leave`]);
}

export async function a_url_that_cannot_be_a_relays_is_refused() {
  begin();
  for (const url of ["ftp://relay.example/", "javascript:alert(1)", "http://", "data:,x"]) {
    refused("bad_url", url, () => check({ url }));
  }
}

export async function the_key_is_filled_in() {
  begin();
  const key = (key, params) => check({ key, params }).key;
  equal(key("document:{doc_id}", { doc_id: 42 }), "document:42");
  equal(key("{team}/{doc_id}/{team}", { team: "red", doc_id: "7", more: 1 }), "red/7/red");
  equal(key("lobby", {}), "lobby");
  equal(key("n:{n}", { n: 0 }), "n:0");
  const here = enter({ key: "document:{doc_id}", params: { doc_id: 7 } });
  equal(here.key, "document:7");
}

export async function a_param_that_is_missing_or_empty_is_named() {
  begin();
  const key = "document:{doc_id}";
  const values = [undefined, null, "", Number.NaN, Number.POSITIVE_INFINITY, {}, true];
  for (const doc_id of values) {
    refused("missing_param", '"doc_id"', () => check({ key, params: { doc_id } }));
  }
  refused("missing_param", '"doc_id"', () => check({ key }));
  refused("missing_param", '"docid"', () => check({ key: "{docid}", params: { doc_id: 1 } }));
  refused("missing_param", '"toString"', () => check({ key: "{toString}", params: {} }));
}

export async function a_key_that_is_none_is_refused() {
  begin();
  refused("bad_key", "placeholder", () => check({ params: { doc_id: 42 } }));
  for (const key of ["a{", "a{}", "{{a}}", "{a", "{a}}"]) {
    refused("bad_key", "{name}", () => check({ key, params: { a: 1 } }));
  }
  refused("bad_key", "{name}", () => check({ key: "a}" }));
  for (const key of ["", "a b", "k".repeat(129), "é"]) {
    refused("bad_key", "128", () => enter({ key }));
  }
  refused("bad_key", "128", () => enter({ key: "{a}", params: { a: "x y" } }));
  enter({ key: "k".repeat(128) });
}

export async function a_meta_that_is_none_is_refused() {
  begin();
  for (const meta of [[], "text", null, 42]) {
    refused("bad_meta", "object", () => enter({ meta }));
  }
  refused("bad_meta", "4096", () => enter({ meta: { a: "x".repeat(4_194_304) } }));
  equal(enter({ meta: { a: "x".repeat(4088) } }).state, "connecting");
}

export async function a_target_that_is_not_there_is_refused() {
  begin();
  const { here } = await live();
  const targets = [
    "#nowhere",
    "][",
    "",
    null,
    undefined,
    42,
    document,
    document.createTextNode(""),
  ];
  for (const target of targets) {
    refused("bad_target", "", () => here.bar(target));
    refused("bad_target", "", () => here.flash(target));
  }
}

export async function every_error_is_a_presence_error() {
  begin();
  const { here } = await live();
  for (const call of [
    () => check({ url: 1 }),
    () => enter({ key: "a b" }),
    () => here.update([]),
    () => here.bar("#nowhere"),
  ]) {
    const error = thrown(call);
    ok(error instanceof PresenceError && error instanceof Error);
    equal(error.name, "PresenceError");
    ok(error.stack.includes("Error"));
  }
}
