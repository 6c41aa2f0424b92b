"""Reads the log of one group (docs/internals/log-format.md), checks every checksum in it, and prints counts as JSON:
read_segment.py <data folder>/log/groups/<group>
Exit code 1, and the place on stderr, where a byte is not what it must be."""
import json, os, re, struct, sys, zlib


def need(condition, path, position, what):
    condition or sys.exit(f"damaged: {path}, byte {position}: {what}")


def opened(path, data, at, size, magic, crc_at):
    """The bytes [at, at + size) after a look at magic, version, algorithm and checksum."""
    part = data[at:at + size]
    need(len(part) == size and part[:4] == magic, path, at, f"no {magic.decode()}")
    need(part[4:8] == b"\1\0\0\0", path, at, "version, algorithm or zeroes")
    need(zlib.crc32(part[:crc_at]) == struct.unpack_from("<I", part, crc_at)[0], path, at, magic.decode())
    return part


def frame_at(path, data, at):
    """Where the frame ends, its header, group, base offset, and where the log stands after it."""
    head = data[at:at + 104]
    need(len(head) == 104 and head[:5] == b"MLF1\1" and head[7] & 15 == 0, path, at, "no frame")
    length, size, records, zero, group, index, term, offset, time = struct.unpack_from("<IIIIQQQQQ", head, 8)
    payload_crc, chain, header_crc, zero2 = struct.unpack_from("<IIII", head, 88)
    need((length, zero, zero2, zlib.crc32(head[:96])) == (104, 0, 0, header_crc), path, at, "frame header")
    payload, end = data[at + 104:at + 104 + size], at + (104 + size + 7) // 8 * 8
    need(len(payload) == size and zlib.crc32(payload) == payload_crc, path, at, "checksum of the payload")
    need(not any(data[at + 104 + size:end]) and len(data) >= end, path, at, "zeroes after the payload")
    return end, head, group, offset, (index, term, offset + records, time, chain)


def segment_header(path, data, group, base, generation):
    head = opened(path, data, 0, 128, b"MLS1", 124)
    length, gen, salt, grp, index, term, time, offset, chain, n, over = struct.unpack_from("<II8sQQQQQII32xQ", head, 8)
    configurations, crc = struct.unpack_from("<I32xI", head, 84)
    need((grp, index, gen) == (group, base, generation) and length % 512 == 0, path, 0, "header of another segment")
    need(zlib.crc32(data[128:128 + configurations]) == crc, path, 128, "configurations of the header")
    need(not any(head[112:120]) and not any(data[128 + configurations:length]), path, 112, "zeroes of the header")
    at = 128
    for _ in range(n):
        at = frame_at(path, data, at)[0]
    need(at == 128 + configurations, path, at, "number of the configurations")
    return length, salt, over, (index, term, offset, time, chain)


def read_round(path, data, at, salt, group, generation, last, number):
    """One round after the position `last`: where the next starts, its number, the position after each of its frames."""
    record = opened(path, data, at, 192, b"MLR1", 188)
    length, gen, found, n, own, _, frames_length, count = struct.unpack_from("<II8sQQQQI", record, 8)
    chain_before, chain_after, zero, first, term, time, offset = struct.unpack_from("<IIIQQQQ", record, 60)
    need(length == 192 and not any(record[144:188]) and zero == 0, path, at, "length or zeroes of the round record")
    need((gen, found, own) == (generation, salt, at), path, at, "round record of another place")
    need(number in (None, n - 1) and struct.unpack_from("<Q", record, 136)[0] == group, path, at, "number or group")
    need((first - 1, term, offset, time, chain_before) == last, path, at, "the round does not continue the log")
    position, positions = at + 192, []
    for _ in range(count):
        start = position
        position, head, grp, offset, now = frame_at(path, data, position)
        need((grp, now[0], offset) == (group, last[0] + 1, last[2]), path, start, "group, index or offset of the frame")
        need(now[1] >= last[1] and now[3] >= last[3], path, start, "term or time of the frame")
        need(zlib.crc32(head[:92], last[4]) == now[4], path, start, "chain of the frame")
        positions.append(last := now)
    need(position == at + 192 + frames_length and last[4] == chain_after, path, at, "the frames end elsewhere")
    end = (position + 511) // 512 * 512
    need(len(data) >= end and not any(data[position:end]), path, position, "zeroes after the round")
    return end, n, positions


def read_group(folder):
    path, group = os.path.join(folder, "base"), int(os.path.basename(os.path.normpath(folder)))
    base_file = open(path, "rb").read()
    base = opened(path, base_file, 0, 128, b"MLB1", 124)
    need(zlib.crc32(base_file[128:]) == struct.unpack_from("<I", base, 120)[0], path, 128, "configuration")
    start, term, time, offset = struct.unpack_from("<QQQQ", base, 32)
    chain, void_below = struct.unpack_from("<II", base, 72)
    last, found = (start, term, offset, time, chain), {"segments": 0, "rounds": 0, "frames": 0, "records": 0}
    matches = map(re.compile("([0-9a-f]{16})-([0-9a-f]{8})[.]log").fullmatch, os.listdir(folder))
    names = sorted((int(m[1], 16), int(m[2], 16), m[0]) for m in matches if m)
    for first, generation, name in names:
        limit = min([b for b, g, _ in names if g > generation or (g == generation and b > first)], default=2**53)
        if generation < void_below or first >= limit or limit <= start:
            continue
        path = os.path.join(folder, name)
        data = open(path, "rb").read()
        at, salt, recycled, position = segment_header(path, data, group, first, generation)
        need(first < start or position == last, path, 32, "the segment does not continue the one before it")
        found["segments"], number = found["segments"] + 1, None
        while any(data[at:]) and (at >= recycled or data[at + 16:at + 24] == salt):
            at, number, positions = read_round(path, data, at, salt, group, generation, position, number)
            for after in positions:
                taken, position = after[2] - position[2], after
                if start < after[0] <= limit:
                    found["frames"], found["records"], last = found["frames"] + 1, found["records"] + taken, after
            found["rounds"] += 1
        need(limit == 2**53 or last[0] == limit, path, at, "entries are missing at the end")
    return {**found, "last": last[0]}


print(json.dumps(read_group(sys.argv[1])))
