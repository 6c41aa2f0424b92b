export * from './config/load-config.ts'
export * from './config/node-config.ts'
export * from './start-error.ts'
