// Holds XML to an XML schema: validate.mjs <schema.xsd> <document.xml>. Prints what is wrong and exits with 1.

import { readFileSync } from 'node:fs'
import { validateXML } from 'xmllint-wasm'

const read = (name, from) => ({ fileName: name, contents: readFileSync(from, 'utf8') })
const { valid, errors } = await validateXML({
  xml: [read('document.xml', process.argv[3])],
  schema: [read('schema.xsd', process.argv[2])],
  initialMemoryPages: 256,
  maxMemoryPages: 4096,
})
for (const { rawMessage } of errors) console.log(rawMessage)
process.exit(valid ? 0 : 1)
