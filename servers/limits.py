"""Every limit and time-out, once, with its reason and its precedent.

All models share them: two servers are comparable only while these are the same.
"""

# -- sockets ---------------------------------------------------------------------------------

BACKLOG = 2048
"""Connections the kernel queues before accept(). Precedent: gunicorn and uvicorn 2048."""

QUEUED_MAX = 65536
"""Longest queue that is emptied at a shutdown although --max-connections is reached. Room to count
them costs nothing before it is used. Precedent: a backlog had 16 bits before Linux 4.1."""

RECV_BYTES = 64 * 1024
"""Most that one read takes. Below glibc's 128 KiB mmap threshold, so no read costs an mmap.
uvloop alone reads up to 256,000 bytes at once, and lets nobody choose."""

TURN_BYTES = 4 * 1024
"""After a read of this much others have their turn: where a read need not wait, one client that
never pauses would be served alone. A request that stands alone is shorter."""

TURN_SENT_BYTES = 256 * 1024
"""After so much is sent at once others have their turn, though the client takes it all."""

TURN_S = 1e-6
"""After a costly reply others have their turn for so long, or as long as they need. Not 0: gevent's
sleep(0) runs up to 50 greenlets, or this one 50 times, before it looks at any socket."""

SEND_BUFFER_BYTES = 0
RECEIVE_BUFFER_BYTES = 0
"""SO_SNDBUF and SO_RCVBUF. 0 leaves the kernel's autotuning on, as nginx and gunicorn do."""

ACCEPTS_PER_TURN = 64
"""Connections taken before the loop looks at anything else. Precedent: gevent 100."""

DESCRIPTORS_RESERVED = 64
"""Kept free of connections, so that /metrics and the log can still open a file."""

DESCRIPTORS_WARN = 4096
"""Fewer than this is little for a server of thousands of connections: the launcher says so."""

DESCRIPTORS_IF_UNLIMITED = 2**20
"""What "unlimited" descriptors are taken for. Precedent: Linux's own fs.nr_open."""

PROCESSES_IF_HIDDEN = 2**22
"""Most processes where kernel.pid_max is hidden: Linux's PID_MAX_LIMIT, so that there is no hidden
cap. What the machine really allows shows when a fork fails."""

PORT_TRIES = 16
"""Free ports tried until one is free on all addresses of a name: one is taken on a second address
as often as ports are in use there, at the worst half of them."""

THREAD_STACK_BYTES = 128 * 1024
"""Stack of a connection's thread. Python frames live on the heap; C needs little of it."""

# -- at the machine's limit --------------------------------------------------------------------

BACKOFF_FIRST_S = 0.01
BACKOFF_LAST_S = 1.0
"""Pause before accepting again, doubling from first to last. Precedent: gevent's baseserver."""

CROWDED_S = 0.1
"""Before clients beyond --limit-concurrency are sent away, who has left may be missed: ends sooner
as soon as somebody is. A process may need some milliseconds to end."""

WORKER_PAUSE_FIRST_S = 0.1
WORKER_PAUSE_LAST_S = 10.0
"""Pause before a worker is replaced that died soon, doubling from first to last; the first death is
made good at once. Precedent: granian 3.5 s, always."""

WORKER_SETTLED_S = 10.0
"""A worker that has lived this long has not died soon."""

WORKER_START_S = 60.0
"""For a worker to become ready, before another is tried. Precedent: gunicorn 30 s."""

OVERTIME_S = 0.1
"""What a process gets beyond the grace period, which it keeps itself, before it ends at once."""

WORKER_END_S = 0.2
"""What a worker gets beyond the grace period, which it keeps itself, before it is killed."""

LOG_INTERVAL_S = 10.0
"""At most one line about the same trouble in this time."""

# -- HTTP --------------------------------------------------------------------------------------

HEAD_BYTES_MAX = 16 * 1024
"""Request line and fields; also a trailer section. Precedent: h11 and node 16 KiB."""

TARGET_BYTES_MAX = 8 * 1024
"""Request target, else 414. RFC 9112 section 3 asks for 8000 at the least."""

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
"""Replies of one pipelined batch are joined into sends of about this size."""

STREAM_BYTES = 64 * 1024
"""One step of a streamed reply."""

# -- what a route may be asked for ---------------------------------------------------------------

WAIT_MS_MAX = 60_000
CPU_ROUNDS_MAX = 10**8
HASH_KIB_MAX = 2**20
STREAM_BYTES_MAX = 10**10

# -- time ----------------------------------------------------------------------------------------

KEEP_ALIVE_TIMEOUT_S = 5.0
"""Silence allowed before and between requests, from when the client has taken all of the last
reply. Precedent: uvicorn 5 s, Apache 5 s."""

ECHO_IDLE_TIMEOUT_S = 300.0
"""Silence allowed on an echo connection, from when the client has taken all."""

HEADER_TIMEOUT_S = 10.0
"""For a request's head, from its first byte. Precedent: Apache 20 s, granian 30 s."""

BODY_TIMEOUT_S = 30.0
"""For a request's body, from the end of its head: 1 MiB at 35 kB/s. Precedent: Apache 20 s, and
more for those who send 500 bytes a second."""

WRITE_TIMEOUT_S = 30.0
"""For a client to take 64 KiB of ours, or what is left. Precedent: nginx 60 s for two writes."""

GRACEFUL_SHUTDOWN_TIMEOUT_S = 30.0
"""From SIGTERM to exit. Precedent: gunicorn 30 s, Kubernetes 30 s."""

ASK_AGAIN_FIRST_S = 0.1
"""A child that has not ended is asked again after this time, then after twice as long."""

SWEEP_S_MAX = 1.0
SWEEPS_PER_TIMEOUT = 10
"""How often the models without a kernel deadline look for silent connections."""

LOOK_S = 0.01
"""For a loop that has been held up to read what has arrived, before a sweep judges anybody; and how
often to look for the rest of a request that recv() does not wait for any more, or, for LINGER_S at
a shutdown, for what a client's full window has held back."""

SWEPT_PER_TURN = 256
"""Connections looked at before others have their turn: 0.3 ms, where 10,000 at once took 50."""

LINGER_S = 2.0
"""A lingering close (RFC 9112 section 9.6) reads for so long after the client has taken all. And a
shutdown looks for so long for what a full window holds back. Precedent: Apache 2 s, nginx 5 s."""

LINGER_LOOK_S = 0.1
"""How often a lingering close looks whether the client has taken all: the kernel calls nobody.
Once it has, there is a look each LINGER_S."""

LINGER_UPLOAD_S = 30.0
LINGER_BYTES_MAX = 128 * 1024 * 1024
"""A lingering close goes on for so long, and reads so much, while STREAM_BYTES come in each
LINGER_S. Many clients (Python's http.client) send all of an upload before they read that it was
refused, and see a broken pipe where the server stops before them. 128 times the largest content
allowed is enough for nearly all. A hostile client gains nothing: to read and to drop 128 MiB takes
0.1 s of CPU time, less than as many bytes in requests that are answered; and it has to send 32 kB/s
for a place that it could have by asking. A shutdown waits LINGER_S for it, and no longer.
Precedent: nginx and Apache 30 s each, and no limit in bytes; aiohttp 10 s."""
