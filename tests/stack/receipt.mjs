// Checks a receipt from the environment against published keys with a library that many use.
import { createLocalJWKSet, compactVerify } from "jose"

const { KEYS, RECEIPT } = process.env
const { payload, protectedHeader } = await compactVerify(RECEIPT, createLocalJWKSet(JSON.parse(KEYS)))
console.log(JSON.stringify({ protocol: "receipt", header: protectedHeader, claims: JSON.parse(new TextDecoder().decode(payload)) }))
