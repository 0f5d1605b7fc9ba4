"""Time limits and sizes, each once and with its reason. Times are seconds, sizes bytes, unless a line says otherwise.

Docs: ``docs/reliability.rst`` adds up what a call may take beyond its timeout.
"""

from __future__ import annotations

# Starting a shell, and ending what was started. These decide how long a call may take beyond its timeout.

START_TIME = 60.0
"""For a shell that was asked for and says nothing, however long its caller would wait."""

MAX_STARTS = 3
"""How often a shell is started that starts each time after its lease has ended."""

HANDSHAKE_TIME = 3.0
"""After this long the handshake is sent again: what is typed while a terminal starts can be lost."""

CTRL_C_TIME = 0.5
"""For a command to end on Ctrl-C, before it is killed."""

OTHER_END_TIME = 2.0
"""From the end of one stream of a oneshot, or from what has come since, to the end of the other."""

KILL_TIME = 2.0
"""For each step of ending a command's processes on the remote machine: a look at all of /proc takes a while there."""

LEFT_TIME = 4.0
"""For ending the processes of other users that a command left: another shell is started for each of these users."""

SHOWN_OPENING = 0.1
"""To open a shell: what takes longer is worth a word in the message of a timeout."""

ANSWER_TIME = 1.0
"""For a warden to say that it is alive."""

GIVE_UP_TIME = 1.5
"""For each of the last two steps, ending the shell and asking why, when a command could not be stopped."""

REASON_TIME = 10.0
"""For asking why a shell has ended by itself."""

CLOSE_TIME = 3.0
"""For ending all sessions of a host, and what was started from its terminal."""

CALL_END_TIME = 3.0
"""For calls in flight to clean up when their host is closed."""

STOP_TIME = 10.0
"""For the command in flight to end when its repeat is stopped."""

REAP_TIME = 1.0
"""For processes of this machine to end when their host is closed."""

LOSS_PATIENCE = 2.0
"""How long to keep asking whether a host died: docker learns of a death later than its client does."""

KILLED_PATIENCE = 0.5
"""How long to ask whether a container died when a command was killed: most often the command alone was."""

# What a call may take beyond its timeout, when every single step takes as long as it may. The documentation says so.

RUN_OVERTIME = 2 * CTRL_C_TIME + 3 * KILL_TIME + LEFT_TIME + 2 * GIVE_UP_TIME
"""``run``: type Ctrl-C, wait for its effect; have the warden kill, end what it had to leave, wait for the end, ask the
shell whether it is the same; end the shell, ask why."""

ONESHOT_OVERTIME = KILL_TIME + LEFT_TIME
"""``oneshot``: its watcher kills the command's tree; what it had to leave is ended."""

CLOSE_LIMIT = STOP_TIME + CLOSE_TIME + LEFT_TIME + CALL_END_TIME
"""``close``: stop a repeat, end the sessions, and what that had to leave, wait for the calls in flight."""

FOREVER = 1e8
"""A timeout of more than three years is none. The clocks of the system cannot take one of any size."""

# Spare shells in a container

SPARE_WAIT = 0.1
"""For a spare that has just served to be ready again: about what docker takes to start a new shell."""

SPARE_BEGIN = 10.0
"""For a spare that was ready to begin a command; one in a paused container does not."""

SPARE_START = 2.0
"""For asking docker to start a spare. A call does so after its own command has ended."""

MAX_SPARE_FAILURES = 3
"""Spares that end before they were ready, one after another: then no more are started until the host is closed."""

# The input of a command

INPUT_FIRST = 4096
"""What goes along with the script, as text, which the remote shell reads byte by byte."""

INPUT_TEXT = 32 << 10
"""One piece of it for a host without a dd that can take bytes as they are."""

INPUT_PIECE = 1 << 20
"""One piece for dd. It waits for an answer, and is in memory at both ends."""

# Waiting where nothing wakes the waiter. Short enough to go unnoticed, long enough to cost nothing.

SIGNAL_POLL = 1.0
"""The longest single wait. A signal that arrives just before a wait begins, or on another thread, does not end the
wait; Python looks for it when that is over. So Ctrl-C can be late by this time, but waits for nothing else."""

LOCK_POLL = 0.5
"""Between two looks whether the holder of a lock is gone. A release wakes who waits at once."""

WRITE_POLL = 0.02
"""Between two attempts to write to a remote program that takes no more bytes for now."""

INPUT_POLL = 0.02
"""Between two looks whether there is something to read for a command's input, while its output is waited for."""

EXIT_POLL = 0.02
"""Between two checks whether a process has ended, where the system cannot tell when it does."""

DOCKER_POLL = 0.1
"""Between two questions to docker, each of which starts a program there."""

# Text of shells and prompts

UPLOAD_LINE = 900
"""Data in one line of an upload: below ash's 1,022, with room for the shell text around the data."""

TTY_LINE = 4095
"""A line, its end included, that a tty takes; it drops the rest."""

TTY_QUEUE = 2048
"""The longest upload that is sent without waiting until the shell has read it. A tty queues about 4,000."""

MIN_MARKER = 4
"""At the end of a stream, a possible start of a marker that is longer than this is dropped; a shorter one is output."""

RETURN_TIME = 0.05
"""After this long without a line feed, a carriage return is taken for one that stands alone."""

MATCH_WINDOW = 64 * 1024
"""The longest match, in characters, that is certainly found when it arrives in pieces."""

IDLE_TEXT = 1 << 20
"""Characters that are kept while nobody waits for a pattern."""

WAITING_TEXT = 1 << 26
"""Characters that are kept while somebody waits: they become the result's `before`."""

RESPONDER_PIECE = 4096
"""Characters that a responder searches at a time. After each match the rest of the piece is searched again, so one
large piece with many matches would take quadratic time."""

UNMATCHED_TEXT = 100
"""Characters of output that the message of a timeout shows when no pattern of ``expects=`` matched."""

TAIL_BYTES = 1 << 20
"""Of each stream, kept for the result when a sink takes all of it."""

UNREAD_BYTES = 1 << 20
"""Of a started process that nobody reads; beyond that it waits, as at the end of a full pipe."""

STOP_GRACE = 5.0
"""The default of ``Process.stop(grace=)``: what most programs take to end in order."""

SIGNAL_EVERY = 0.2
"""Between two looks whether a process that was told to end has ended, or something of it must be told, too."""

# The user's terminal

EOF_AGAIN = 1.0
"""After this long an end of input is typed again, at the start of a line: a line editor that was just starting takes
the first one for some other character."""

TYPED_AHEAD = 65536
"""What may wait for the remote program to take it; beyond that the keyboard waits, too."""

TERMINAL_STATUS_TIME = 5.0
"""For the exit status to arrive after the output has ended."""

# Processes of this machine, TCP

LOCAL_READ_SIZE = 1 << 20
"""About the most that one read returns."""

PROXY_STDERR = 2000
"""Of a ProxyCommand's stderr, kept for an error; what came before is dropped."""

PROXY_EXIT_TIME = 1.0
"""For a ProxyCommand that has closed its output to end, so that its status can be reported."""

USER_TIMEOUT = 45.0
"""Without an answer to sent bytes for so long, the kernel ends a connection; a caller may choose another limit."""

QUICK_ACKS = 50
"""Reads at the beginning of a connection that are acknowledged at once: a login takes some fifteen."""

# Waiting for a service

READY_TIME = 60.0
"""The default of ``wait_for(timeout=)``, and of an ``up(wait=True)`` without a timeout."""

LOOK_TIME = 15.0
"""For the one look of a ``wait_for(timeout=0)``: it asks docker, or runs a command."""

WAIT_POLL = 0.2
"""Between two looks of ``wait_for``: each starts a program on the remote machine."""

HTTP_TIME = 5.0
"""For one answer of a web server; then it is asked again."""

# Forwarded ports

DIAL_TIME = 15.0
"""For the remote side of one connection."""

PROBE_TIME = 10.0
"""For finding out whether there is a way to a port."""

FORWARD_CLOSE_TIME = 5.0
"""For the threads of a forward to end."""

FORWARD_PIECE = 65536
"""What is passed on at once."""

MAX_SOCKET_PATH = 100
"""The path of a unix socket: Linux takes 107, macOS 103."""

ADDRESS_TIME = 1.0
"""How long a container's address is used again. A container that was recreated may have another one, and its old one
may be somebody else's; a page with a hundred parts must not ask docker a hundred times."""

# SSH

CONNECT_TIMEOUT = 15.0
"""The default of ``SSHOptions(connect_timeout=)``: for one connection, login included."""

KEEPALIVE_INTERVAL = 15.0
"""The default of ``SSHOptions(keepalive_interval=)``: silence after which the server is asked for an answer."""

KEEPALIVE_COUNT = 3
"""Questions without an answer after which a connection counts as lost, as in OpenSSH."""

MAX_LOGIN_CONNECTIONS = 3
"""Connections that one login may take, when the server ends each after a few keys (MaxAuthTries). Servers count failed
logins, and lock an address out that has too many (PerSourcePenalties, fail2ban)."""

MAX_SESSIONS = 10
"""Sessions on one connection: OpenSSH's default for MaxSessions. Fewer, once the server has refused one."""

IDLE_LIMIT = 10.0
"""An unused connection ends after this long, if it is not the first."""

SETTLING_TIME = 1.0
"""How long a session that we closed may still count on the server: it waits for the process to end."""

SETTLING_TRIES = 8
"""Refusals in a row that are put down to such sessions. The pauses between them add up to about a second."""

REFUSAL_TIME = 5.0
"""How long a refusal is believed: a connection counts as full, or no further connection or spare channel is tried."""

MAX_COMMAND = 128 << 10
"""A command: Linux takes no longer argument, and sshd ends the whole connection at 256 KiB."""

SSH_DEFAULTS_TIME = 10.0
"""For OpenSSH's client to say what it does where no file speaks."""

SSH_READ_SIZE = 1 << 18
"""The most of a stream that one read returns: on their way to a result the bytes are copied several times."""

SSH_READ_WAIT = 0.2
"""The longest that one read waits, before the reading thread does its other work."""

SSH_SOCKET_READ = 64 << 10
"""What the reading thread takes from the socket at once."""

SSH_SEND_WAIT = 0.1
"""How long to wait for a server that takes no bytes now, before they are kept for later."""

WINDOW_SIZE = 2 << 20
"""What the server may send on a channel before it must wait for us to read."""

PACKET_SIZE = 32 << 10
"""One packet; every SSH server must take as many bytes."""

AGENT_MESSAGE = 256 << 10
"""An answer of an ssh-agent; OpenSSH's own client has the same limit."""

INCLUDE_DEPTH = 16
"""How deep ``Include`` may go in ssh_config. It goes no deeper in OpenSSH either."""

# Telnet

TELNET_PIECE = 49152
"""What is written at once."""

TELNET_READ_SIZE = 65536
"""What is read at once."""

SHORT_INPUT = 1024
"""Input up to this size is not sent as base64, which means starting two programs on the host."""

PROMPT_SCREEN = 4096
"""How much of what the host shows is searched for a prompt."""

QUIET_TIME = 1.0
"""Without output for so long, a shell prompt is accepted even if the host asked for no login."""

LONG_QUIET_TIME = 5.0
"""Without output for so long after the password was sent, a shell is assumed although its prompt is unknown. Longer
than a login program waits before it reports a wrong password."""

TYPE_AGAIN_TIME = 3.0
"""After this long the first command is typed again: a host may discard what was typed during the login."""

# Docker and Compose

DOCKER_TIME = 30.0
"""For an answer of the docker client to a question of ours."""

LOG_PIECE = 16 * 1024
"""The pieces in which docker keeps a longer line of a container's log."""

PS_TIME = 60.0
"""For listing the containers of a parent."""

DOWN_TIME = 300.0
"""For taking a stack down when its block is left."""

ROLLBACK_TIME = 60.0
"""For taking down what a call that was cut off has started."""

LEAVE_TIME = 10.0
"""For giving up the lease of a stack."""

RUNNING_TIME = 0.5
"""How long a service has to live before it counts as running: most that cannot start die earlier."""

MAX_RESTARTS = 3
"""How often Docker may restart a service before it is given up: one that waits for another may need a few attempts."""

MAX_MISSED = 100
"""How many times Compose is asked for its configuration, each time with the file that it missed before."""

MENTIONED_FILE = 256 * 1024
"""A mentioned file that is larger is not sent: it cannot be a compose or env file."""

STACK_TREE_READ = 1 << 20
"""What is read of a file at once when the files of a stack are compared."""

# Transfers

BATCH_SIZE = 64 << 20
"""Of sources that go in one stream. When such a stream fails, each of its sources is sent once more, alone."""

FILE_PIECE = 256 * 1024
"""Of a file that is in memory at a time."""

WRITE_SIZE = 64 * 1024
"""What is written to the remote script at once."""

LISTEN_EVERY = 1 << 20
"""What is sent before looking for a message: a script that has failed takes no more."""

MESSAGE_LIMIT = 64 * 1024
"""Of one message that is kept. The script may be a hostile one."""

BODY_LIMIT = 4 << 20
"""Of what follows a message, such as the list of the sources' states; for the same reason."""

NOISE_LIMIT = 64 * 1024
"""Kept of everything that is not a message, to explain a failure with."""

EARLY_SIZE = 512 * 1024
"""More or less, what goes of a stream along with its script. This saves a round trip; it is for nothing if the answer
is that there is no tar."""

PATH_LIMIT = 4000
"""A path inside a source: Linux takes 4,095, and a remote stage stands in front of it."""

NAMES_PER_CALL = 200
"""Names in one call of a function of ``receive.sh``: few enough for the arguments of one program."""

SOURCES_PER_CALL = 200
"""Sources in one line of the script: the remote shell reads it line by line, and adds each to those before it."""

TREE_DEPTH = 40
"""Directories in each other in a stream. BusyBox's tar looks at each directory of a path for each member, so that the
cost of a deep tree would grow with the third power of its depth."""

LINK_LIMIT = 40
"""Links that the kernel follows on one path."""

HEADER_LIMIT = 1 << 20
"""One extended header of a tar, which `tarfile` reads into memory."""

CLEAN_UP_TIME = 2.0
"""For the remote script to remove its private directory and end."""

PROGRESS_EVERY = 0.1
"""Between two reports of progress on one source."""

# Labs and reservations

MAX_PARALLEL = 16
"""Hosts that are worked on at a time when nobody says how many."""

PASSWORD_COMMAND_TIME = 60.0
"""For a ``password_command``: it may have to ask somebody."""

SHORTEST_POLL = 0.01
"""Between the first two looks of a request that waits."""

LONGEST_POLL = 0.1
"""Between two looks of a request that has waited for a while."""

HOLD_POLL = 0.2
"""Between two looks whether a hold was taken away by force, or lost by the process it was inherited from."""

HEARING_TIME = 1.0
"""For the owner of a hold that was taken away by force to notice, unless it confirms sooner."""

TABLE_TIME = 1.0
"""The least to wait for the table of holds, which is locked for milliseconds at a time: so does ``wait=0``."""

RELEASE_TIME = 10.0
"""The same, for what has no time limit of its own, such as a release."""

SWEEP_TIME = 60.0
"""For ending what an earlier holder left on a host."""

REPORT_TIME = 30.0
"""Between two reports of who is before us."""

JOIN_TIME = 5.0
"""For the thread of a hold to end: it may be in the middle of a call to the backend."""

REDIS_TRIES = 3
"""How often a call is made before the server counts as away. All our calls are idempotent."""

LONGEST_CALL = 2.0
"""For one call to Redis; less where the ttl is short, so that a holder notices a silent server in time."""

REDIS_CONNECTIONS = 10_000
"""To Redis, at once: each thread that waits has one. redis-py's own limit is lower than some programs' threads."""
REDIS_RECENT = 16
REDIS_OBSERVED = 32
"""So many observations are remembered: the last ones all, of older ones every second, and again every second."""

LONGEST_BELL = 1.0
"""To listen for a bell before looking at the time again: a server that is paused rings none."""

# Robot Framework

BANNER_TIME = 45.0
"""For asking a server for its banner: SSHLibrary's limit."""

FIRST_WAIT = 0.1
"""How long `Read` waits for the first bytes when it is told no ``delay``."""

OPEN_TIME = 30.0
"""For opening the terminal, once the host is connected."""

ROBOT_QUIET_TIME = 0.5
"""A shell that has said something and then nothing for so long waits for input, whatever its prompt is."""

MAX_RECORDS = 10_000
"""Log records of other threads that are kept for one keyword; of more, the last."""

# The command line

SLOW_START = 0.05
"""What a shell's start-up file may take before ``doctor`` notes it: each command pays for it."""

CLOCK_TOLERANCE = 2.0
"""How far the clocks of two machines may be apart before ``doctor`` notes it."""

EXAMINED_AT_ONCE = 8
"""Hosts that ``doctor`` examines at a time."""

REFRESH_TIME = 1.0
"""Between two looks of ``who --watch``, and of ``top`` at one machine."""

SCREEN_TIME = 0.5
"""Between two pictures of ``top``, whose looks come in one by one."""

TOP_LOOK_TIME = 5.0
"""For each question of ``top``. A machine that does not answer so soon is as good as down."""

# What is shown and logged

SHOWN_VALUE = 200
"""Characters of a wrong value that a message shows."""

SHOWN_OUTPUT = 10
"""Lines of output in the message of a `CommandFailed`."""

SHOWN_COMMAND = 60
"""Characters of the command line of a process that could not be ended."""

SHOWN_LEFTOVERS = 5
"""Processes that could not be ended; the others are counted."""

SHOWN_REPR = 60
"""Characters of a command, and of its last line of output, in a ``repr``."""

SHOWN_COMPOSE = 20
"""Lines of Compose's own, or of a container's, that an error ends with."""

LONG_LINE = 65536
"""Characters of a line without an end that are logged as one record, so that memory stays bounded."""

REPORT_LINES = 1000
"""Of each host, the last lines that pytest's report of a failing test shows."""

EVIDENCE_LINE = 2000
"""Characters of a line that a container has printed, in such a report."""

EVIDENCE_TIME = 10.0
"""For asking docker about all containers that a failed test has used. The next test waits for it."""

COLLECT_TIME = 60.0
"""For getting their files."""

COLLECT_SIZE = 64 << 20
"""Of the files of one container that are kept for one test."""

SHOWN_NAMES = 5
"""Names in a message, of the parts of a source that were left out."""
