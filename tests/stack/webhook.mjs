// Reads a webhook from the environment and holds its signature against a secret with the official library.
import { Webhook } from "standardwebhooks"

const { SECRET, HEADERS, BODY } = process.env
const event = new Webhook(SECRET).verify(BODY, JSON.parse(HEADERS))
console.log(JSON.stringify({ protocol: "webhook", event }))
