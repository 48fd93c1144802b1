/** `<whos-here>`: a bar and flashes for a page without a line of script. Importing this registers it. */
import type { Here, Member, Messages, Meta, Mode, PresenceError, PresenceEvents } from "./index.js";

/**
 * `<whos-here>`. Its attributes, each of which may change at any time:
 *
 * - `last-seen`: like the option `lastSeen` of `bar`
 * - `url`, `dedupe`, `mode`, `max`, `look`, `self`: like the options of `connect` and `bar`
 * - `away`: `false`: never away; a number: after so many milliseconds without an input
 * - `key`, or `data-key` where a framework keeps `key` to itself: its placeholders are filled in from the
 *   element's `data-*`; `{doc_id}` from `data-doc-id`, too
 * - `token-url`: answers with the token as text, or as JSON `{"token": …}`. It gets the page's cookies if it is of the
 *   page's own origin; for one of another origin set `token` to a function that fetches it as you need,
 *   `credentials: "include"` for example
 * - `locale`: `en`, `ar`, `de` or `ja`; changing it only changes the texts
 * - `flash`: shows who joins and leaves; may hold options as JSON, which are those of `whoshere-flash`, too:
 *   `flash='{"muteAbove": 20}'`
 *
 * Taken out of the page, it leaves; moved within it, it doesn't.
 *
 * Events: each of {@link Here.on} with `whoshere-` before its name, and `whoshere-ready`. They bubble, and
 * their `detail` is what a listener of `here.on` is given. An error that nobody calls `preventDefault` on
 * is shown as a warning in the console.
 *
 * Looks: the custom properties at the top of `whoshere.css`, and the parts `bar`, `dots`, `item`, `dot`,
 * `initial`, `avatar`, `leaving`, `label`, `name`, `note`, `count`, `more`, `more-button`, `list`, `person`, `mark`, `flashes`,
 * `flash`, `flash-dot`, `flash-name`, `said` and `last-seen`.
 *
 * An element within the tag that has `slot="self"` is shown in its reader's dot, instead of picture and
 * initial; images fill the dot.
 *
 * Any element of the page with `data-presence-flash` (`-cursors`, `-typing`, `-inspect`) is given to
 * `here.flash` (`cursors`, `typing`, `inspect`) of the nearest `<whos-here>`, or of the one whose id is the attribute's value.
 *
 * @example
 * <script type="module" src="/whoshere/element.js"></script>
 * <whos-here url="wss://relay.example/v1/presence" key="document:{doc_id}" data-doc_id="42"
 *   token-url="/presence-token" flash></whos-here>
 */
export class WhosHereElement extends HTMLElement {
  /** This page's presence; null while there is none. */
  readonly here: Here | null;
  /** Instead of `token-url`: a token, or a function that fetches one. */
  token: string | (() => string | Promise<string>) | undefined;
  /** What the others see of this page. Setting it removes the fields that are not in it any more. */
  meta: Meta;
  /** The attribute `mode`: as what the page is in the key. Changing it enters nothing anew. */
  mode: Mode;
  /** The texts that readers see, like the option of `connect`. Changing them changes nothing else. */
  messages: Partial<Messages> | undefined;
}

/** What `addEventListener` can listen to. */
export interface WhosHereEvents {
  "whoshere-ready": CustomEvent<{ readonly members: readonly Member[] }>;
  "whoshere-join": CustomEvent<PresenceEvents["join"]>;
  "whoshere-leave": CustomEvent<PresenceEvents["leave"]>;
  "whoshere-update": CustomEvent<PresenceEvents["update"]>;
  "whoshere-pulse": CustomEvent<PresenceEvents["pulse"]>;
  "whoshere-location": CustomEvent<PresenceEvents["location"]>;
  "whoshere-state": CustomEvent<PresenceEvents["state"]>;
  "whoshere-change": CustomEvent<PresenceEvents["change"]>;
  "whoshere-flash": CustomEvent<PresenceEvents["flash"]>;
  "whoshere-error": CustomEvent<PresenceError>;
}

declare global {
  interface HTMLElementTagNameMap {
    "whos-here": WhosHereElement;
  }
  interface HTMLElementEventMap extends WhosHereEvents {}
}
