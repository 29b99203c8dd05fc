// Asks the gateway that this page came from. The key is kept for this tab only, and never in an address.

let key = "";
try { key = sessionStorage.getItem("distil-gateway-key") || ""; } catch (error) { /* then it is asked for again */ }

function keepKey(value) {
  key = value;
  try { sessionStorage.setItem("distil-gateway-key", value); } catch (error) { /* it lasts until the page is loaded again */ }
}

class NeedsKey extends Error {}

/** The reply as an object; throws NeedsKey, or an Error with the gateway's words. */
async function ask(path, body) {
  const headers = key ? { authorization: "Bearer " + key } : {};
  if (body) headers["content-type"] = "application/json";
  let reply;
  try {
    reply = await fetch(path, { method: body ? "POST" : "GET", headers, body: body ? JSON.stringify(body) : undefined, cache: "no-store" });
  } catch (error) { throw new Error("The gateway does not answer. Trying again."); }
  const found = await reply.json().catch(() => ({}));
  const words = (found.error && found.error.message) || "The gateway answered " + reply.status + ".";
  if (reply.status === 401 || (reply.status === 403 && found.error && found.error.code === "not_for_the_page")) throw new NeedsKey(words);
  if (!reply.ok) throw new Error(words);
  return found;
}
