/** The GroupService: its place is kept; this version has no consumer groups and says so by name. */
import type { ServiceImpl } from '@connectrpc/connect'
import type { GroupService } from '@millrace/proto'
import { MillraceError } from '@millrace/record'

export function groupService(): ServiceImpl<typeof GroupService> {
  return {
    joinGroup: () => unsupported('JoinGroup'),
    claimPartition: () => unsupported('ClaimPartition'),
    commitCursors: () => unsupported('CommitCursors'),
    seekGroup: () => unsupported('SeekGroup'),
    listGroups: () => unsupported('ListGroups'),
    describeGroup: () => unsupported('DescribeGroup'),
    deleteGroup: () => unsupported('DeleteGroup'),
  }
}

function unsupported(method: string): never {
  throw new MillraceError('UNSUPPORTED', `GroupService.${method}: this version has no consumer groups`)
}
