/** The console serves the library's only file under this name. */
export * from 'preact';
