"""The limits and timeouts of the service, each once, with its reason and its precedent.

All models share them: two servers are comparable only while these are the same.
"""

# -- sockets ---------------------------------------------------------------------------------

BACKLOG = 2048
"""Connections the kernel queues before accept(). Precedent: gunicorn and uvicorn 2048."""

QUEUED_MAX = 65536
"""Longest accept queue that a shutdown empties even at --max-connections. The counters reserve room
for it, which costs nothing until it is used. Precedent: a backlog had 16 bits before Linux 4.1."""

RECV_BYTES = 64 * 1024
"""The most one read takes. Below glibc's 128 KiB mmap threshold, so no read costs an mmap.
uvloop alone reads up to 256,000 bytes at once. It has no setting for it; a BufferedProtocol would
bound it, at 9 % more instructions per request."""

FAIR_READ_BYTES = 4 * 1024
"""After a read of this size a connection yields: where reads do not block, a client that never
pauses would keep all others waiting. A single request is shorter."""

LARGE_BYTES = 4 * 1024
"""From this size on, sending is worth the checks that nearly every reply does without: whether the
client is still there, keeps its write deadline, and leaves the others their turn."""

FAIR_WRITE_BYTES = 256 * 1024
"""After sending this much at once a connection yields, even if its client keeps up."""

YIELD_S = 1e-6
"""After a reply that took long to make, a connection yields this long, or as long as others need.
Not 0: gevent's sleep(0) runs up to 50 greenlets, or this one 50 times, before polling a socket."""

SEND_BUFFER_BYTES = 0
RECEIVE_BUFFER_BYTES = 0
"""SO_SNDBUF and SO_RCVBUF. 0 keeps the kernel's autotuning, as nginx and gunicorn do."""

ACCEPTS_PER_TURN = 64
"""Connections accepted before the loop serves others. Precedent: gevent 100."""

DESCRIPTORS_RESERVED = 64
"""Descriptors kept back from connections, so that /metrics and the log can still open a file."""

DESCRIPTORS_WARN = 4096
"""The launcher warns below this: it is little for a server of thousands of connections."""

DESCRIPTORS_IF_UNLIMITED = 2**20
"""What "unlimited" descriptors count as. Precedent: Linux's own fs.nr_open."""

PROCESSES_IF_HIDDEN = 2**22
"""The most processes where kernel.pid_max is hidden: Linux's PID_MAX_LIMIT, so that there is no
hidden cap. The machine's real limit shows when a fork fails."""

PORT_TRIES = 16
"""Free ports to try until one is free on all addresses of a name. A port is taken on a second
address as often as ports are in use there, in the worst case every other time."""

THREAD_STACK_BYTES = 128 * 1024
"""Stack of a connection's thread. Python frames live on the heap; C needs little stack."""

# -- at the machine's limit --------------------------------------------------------------------

BACKOFF_FIRST_S = 0.01
BACKOFF_LAST_S = 1.0
"""Pause before accepting again, doubling from first to last. Precedent: gevent's baseserver."""

REFUSAL_DELAY_S = 0.1
"""At --limit-concurrency, wait this long for closed connections to be reaped before refusing a
client; the wait ends early when one is. A process may need some milliseconds to end."""

THREAD_BEGIN_S = 5.0
"""After some thread has died of memory before it began, the oldest one that has not begun in this
time is taken to be it. Where CPU time lacks, too, a thread may wait for its turn meanwhile."""

WORKER_PAUSE_FIRST_S = 0.1
WORKER_PAUSE_LAST_S = 10.0
"""Pause before replacing a worker that died young, doubling from first to last; after the first
death there is no pause. Precedent: granian 3.5 s, always."""

WORKER_SETTLED_S = 10.0
"""A worker that dies within this time died young."""

WORKER_START_S = 60.0
"""Time for a worker to become ready before another is tried. Precedent: gunicorn 30 s."""

FORCED_EXIT_DELAY_S = 0.1
"""A process that is still running so long after its own grace period exits at once."""

WORKER_KILL_DELAY_S = 0.2
"""A worker that is still running so long after its own grace period is killed."""

LOG_INTERVAL_S = 10.0
"""At most one line about the same trouble in this time."""

# -- HTTP --------------------------------------------------------------------------------------

HEAD_BYTES_MAX = 16 * 1024
"""Request line and fields; also a trailer section. Precedent: h11 and node 16 KiB."""

TARGET_BYTES_MAX = 8 * 1024
"""Request target, else 414. RFC 9112 section 3 asks for at least 8000."""

FIELD_BYTES_MAX = 8 * 1024
"""One field's name and value, else 431. Precedent: gunicorn and aiohttp 8190."""

FIELDS_MAX = 100
"""Fields in a head or a trailer section, else 431. Precedent: gunicorn and Apache 100."""

EMPTY_LINES_MAX = 4
"""Empty lines skipped before a request line. RFC 9112 section 2.2: at least one."""

BODY_BYTES_MAX = 1024 * 1024
"""Request content, else 413. Precedent: nginx client_max_body_size 1 MiB, aiohttp 1 MiB."""

CHUNK_EXTENSION_BYTES_MAX = 16 * 1024
"""All chunk extensions of one message, and zeros that make a size longer than 16 digits, else 413.
Precedent: Go after CVE-2023-39326 16 KiB."""

REPLY_BYTES_JOINED = 64 * 1024
"""Replies to one pipelined batch are joined into sends of about this size."""

STREAM_BYTES = 64 * 1024
"""One step of a streamed reply."""

# -- route parameters ----------------------------------------------------------------------------

WAIT_MS_MAX = 60_000
CPU_ROUNDS_MAX = 10**8
HASH_KIB_MAX = 2**20
STREAM_BYTES_MAX = 10**10

# -- time ----------------------------------------------------------------------------------------

KEEP_ALIVE_TIMEOUT_S = 5.0
"""Silence allowed before and between requests, from when the client has received all of the last
reply. Precedent: uvicorn 5 s, Apache 5 s."""

ECHO_IDLE_TIMEOUT_S = 300.0
"""Silence allowed on an echo connection, from when the client has received everything."""

HEADER_TIMEOUT_S = 10.0
"""For a request's head, from its first byte. Precedent: Apache 20 s, granian 30 s."""

BODY_TIMEOUT_S = 30.0
"""For a request's body, from the end of its head: 1 MiB at 35 kB/s. Precedent: Apache 20 s, and
more for clients that send 500 bytes a second."""

WRITE_TIMEOUT_S = 30.0
"""For a client to receive 64 KiB, or the rest of a reply. Precedent: nginx 60 s between writes."""

GRACEFUL_SHUTDOWN_TIMEOUT_S = 30.0
"""From SIGTERM to exit. Precedent: gunicorn 30 s, Kubernetes 30 s."""

DRAIN_REPEAT_FIRST_S = 0.1
"""A child that keeps running gets its drain signal again after this time, then after twice as long
each time: a signal that arrives just before recv() is not handled before recv() returns."""

DRAIN_POLL_S = 0.01
"""How often a shutdown polls: for the rest of a request on a socket whose reading is shut, for
bytes that a full window has held back, and for connections that have become idle."""

SWEEP_S_MAX = 1.0
SWEEPS_PER_TIMEOUT = 10
"""How often models without kernel deadlines sweep for overdue connections."""

RESERVE_BYTES = 64 * 1024
"""Kept back for the pause between two sweeps, and given up where that finds no memory. In one piece
below glibc's mmap threshold, so that Python's small objects fit into it."""

LATE_SWEEP_DELAY_S = 0.01
"""A sweep that is late waits this long, so that a delayed loop reads what has arrived meanwhile
before the sweep judges any connection."""

SWEPT_PER_TURN = 256
"""Connections a sweep checks before it yields: 0.3 ms, where 10,000 at once took 50."""

LINGER_S = 2.0
"""A lingering close (RFC 9112 section 9.6) reads this long after the client has received all. A
shutdown polls this long for what a full window holds back. Precedent: Apache 2 s, nginx 5 s."""

LINGER_POLL_S = 0.1
"""How often a lingering close polls until the client has received all, since the kernel reports no
such event. After that it polls every LINGER_S."""

LINGER_UPLOAD_S = 30.0
LINGER_BYTES_MAX = 128 * 1024 * 1024
"""A lingering close lasts this long, and reads this much, while STREAM_BYTES arrive every LINGER_S.
Many clients (Python's http.client) send a whole upload before they read its refusal, and see a
broken pipe if the server stops reading. 128 times the largest content allowed is enough for nearly
all. A hostile client gains nothing: reading and dropping 128 MiB takes 0.1 s of CPU time, less than
the same bytes in requests that are answered; and the client must send 32 kB/s to hold a place that
it could hold by sending requests. A shutdown waits only LINGER_S for it. Precedent: nginx and
Apache 30 s each, without a limit in bytes; aiohttp 10 s."""
