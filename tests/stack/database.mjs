// A database of its own for one run of the demo, in the cluster that DATABASE_URL names: its chain starts anew each
// time, and records of an earlier chain would be followed on a chain that never saw them.
//
//   node database.mjs create        prints the URL of a new database
//   node database.mjs drop <url>    removes it
//   node database.mjs tell <sql>    runs a statement in DATABASE_URL itself
import { randomBytes } from 'node:crypto'
import pg from 'pg'

const [action, made] = process.argv.slice(2)
const cluster = process.env.DATABASE_URL

const run = async (statement) => {
  const client = new pg.Client({ connectionString: cluster })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}

try {
  if (action === 'create') {
    const name = `facilitator_demo_${randomBytes(6).toString('hex')}`
    await run(`create database ${name}`)
    const url = new URL(cluster)
    url.pathname = `/${name}`
    console.log(url.href)
  } else if (action === 'drop' && made) {
    await run(`drop database if exists ${new URL(made).pathname.slice(1)} with (force)`)
  } else if (action === 'tell' && made) {
    await run(made)
  } else {
    throw new Error('usage: node database.mjs create | drop <url> | tell <sql>')
  }
} catch (error) {
  console.error(`database.mjs: ${error.message}`)
  process.exit(1)
}
