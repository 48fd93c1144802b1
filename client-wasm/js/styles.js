// @ts-check
//
// The package's styles as text: `scripts/build-client.mjs` puts whoshere.css in.
export default "";
