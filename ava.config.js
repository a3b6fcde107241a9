// Each file is a process of its own: descriptors, threads and namespaces are counted per process.
export default {
  workerThreads: false,
  files: ['test/**/*.test.ts'],
  typescript: { rewritePaths: { 'test/': 'dist/test/' }, compile: false },
  timeout: '2m',
};
