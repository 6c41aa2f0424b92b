/** What tests of other packages use of these. No product code imports it. */
export { type LinkState, TcpProxy } from './tcp-proxy.ts'
