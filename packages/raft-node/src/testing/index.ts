/** What tests of other packages use of these. No product code imports it. */
export { freePorts } from './free-ports.ts'
export { type LinkState, TcpProxy } from './tcp-proxy.ts'
export { until } from './until.ts'
