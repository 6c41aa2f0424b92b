/** In-memory twin of the state store, for tests and for brokers that need not outlive their process. */
export { MemoryStateStore } from './memory-state-store.ts'
