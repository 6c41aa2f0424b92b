/** GET /: what this port offers, as text to paste from. */
import type { NodeResponse } from './node-http.ts'

export function frontPage(response: NodeResponse, host: string, nodeId: number, version: string): void {
  const base = `http://${host}`
  const text = `Millrace ${version}, node ${nodeId}. A replicated event log.

  curl --data-binary 'hello' ${base}/v1/topics/demo/records
  curl -N '${base}/v1/topics/demo/records?from=earliest&live=true'

  POST   /v1/topics/{topic}/records    append; ?partition= ?key=
  GET    /v1/topics/{topic}/records    read; ?from=earliest|latest|<offset>|<time> ?partition= ?live=true ?max=
  DELETE /v1/topics/{topic}/records    remove the oldest of a partition; ?partition= &before=OFFSET
  GET    /v1/topics                    list topics
  POST   /v1/topics                    create one: {"name":"orders","partitions":3}
  GET    /v1/topics/{topic}            describe one
  DELETE /v1/topics/{topic}            delete one
  GET    /v1/cluster                   nodes, and the replicas on this one
  GET    /livez, /readyz               health

Connect, gRPC and gRPC-Web: /millrace.v1alpha1.LogService and its neighbours on this port.
`
  response.writeHead(200, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': String(Buffer.byteLength(text)),
    'x-content-type-options': 'nosniff',
  })
  response.end(text)
}
