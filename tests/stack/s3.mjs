// An S3-compatible store that checks signatures (AWS Signature Version 4), with one bucket and one key: PORT, DIRECTORY.
import S3rver from '@20minutes/s3rver';

const store = new S3rver({
  address: '127.0.0.1',
  port: Number(process.env.PORT),
  directory: process.env.DIRECTORY,
  silent: true,
  configureBuckets: [{ name: 'reports' }],
});
await store.run();
console.log('the store is ready');
