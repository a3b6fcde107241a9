import type { Cause } from '../tcp/cause.js';
import type { Runtime } from './runtime.js';

const general: Readonly<Record<Cause, string>> = {
  'eof-unread':
    'The peer has closed, and the application does not read: its FIN lies unread, with whatever came before it. Until read() returns 0 the program cannot know that there is something to close.',
  'not-closed':
    'The end of the stream was read and close() never came. Nothing else ends CLOSE_WAIT: it has no timer. Close the descriptor on every path that leaves the connection, error paths included.',
  'never-accepted':
    'The connection waits in the accept queue, and its peer has already closed. It has no descriptor that anybody could close: find what keeps the program from calling accept(). The length of the queue is the second argument of listen().',
  'shared-fd':
    'Several descriptors lead to this socket, and the FIN leaves when the last of them is closed. Close every copy, each in its own process; open sockets with SOCK_CLOEXEC so that programs started later do not inherit them. shutdown(fd, SHUT_RDWR) acts on all copies at once.',
  'still-sending':
    'Nothing has to change: what was sent is not acknowledged yet. If the peer never answers, the kernel gives up by itself (tcp_retries2; tcp_orphan_retries where nobody holds the socket); TCP_USER_TIMEOUT makes that sooner.',
  ghost:
    'The connection is over and the descriptor is still open: ss and netstat do not show it, but it counts against RLIMIT_NOFILE. Its read() returns 0 or an error: close() it then.',
  'peer-never-closes':
    "This side has shut down its sending half and waits for the peer's FIN. While a descriptor holds the socket, no timer ends FIN_WAIT2: set a deadline of your own and close() the descriptor; from then on the kernel waits tcp_fin_timeout and no longer.",
};

const byRuntime: Readonly<Record<Cause, Partial<Record<Runtime, string>>>> = {
  'eof-unread': {
    node: "Node reads a socket only while somebody consumes it: listen to 'data', pipe() it or call resume(), also where its bytes are of no interest; paused, it hears neither 'end' nor 'close'. destroy() what you do not want to read. If the main thread is not in epoll_wait, the event loop is blocked, and that comes first.",
    java: 'Read its InputStream until -1; with NIO keep OP_READ in the interest set until read() returns -1. Then close(): try-with-resources does it on every path.',
    python:
      "Call recv() until it returns b'', then close(): `with sock:` does it on every path. In asyncio go on reading the StreamReader until b'', or close the writer.",
    go: 'Read the net.Conn until io.EOF, then Close() it. A goroutine that only writes never hears that the peer has gone.',
    native:
      'Keep EPOLLIN or EPOLLRDHUP registered for the descriptor until read() returns 0, then close() it. With EPOLLET read until EAGAIN: the edge does not come again.',
  },
  'not-closed': {
    node: "With allowHalfOpen: true, and for sockets of 'upgrade' and 'connect', nobody else does it: socket.on('end', () => socket.end()), or destroy() it. Node reads ahead, but 'end' comes only to a socket that somebody consumes: resume() or destroy() one whose bytes are of no interest. Answer 'error' and 'timeout' in the same way: 'timeout' alone closes nothing.",
    java: 'Use try-with-resources for the Socket, not only for its streams. A pool must evict connections that the server has closed.',
    python:
      "After recv() has returned b'', call close(), best by `with sock:` or contextlib.closing(); in asyncio writer.close(), then await writer.wait_closed(). A list or a reference cycle that keeps the socket keeps it open.",
    go: 'Write `defer conn.Close()` right behind Accept or Dial; for an HTTP client `defer resp.Body.Close()`. Returning from the goroutine closes nothing.',
    native:
      'Where read() returns 0, call close(fd). Look for the branch that leaves it out: an early return, a `continue`, a descriptor overwritten by the next accept().',
  },
  'never-accepted': {
    node: 'Node accepts whenever its event loop turns: look for synchronous work on the main thread, and for server.maxConnections.',
    java: 'Look at the thread that calls accept(): it may be waiting for a free worker of an exhausted pool.',
    python:
      'A server that serves one connection at a time accepts nobody meanwhile: serve each in a thread, a task or a worker process.',
    go: 'Look at the goroutine that calls Accept: it must hand the connection on, not serve it.',
    native:
      'Call accept() in a loop of its own, until EAGAIN where the listener is edge-triggered.',
  },
  'shared-fd': {
    node: 'A child inherits what is named in stdio; subprocess.send(message, socket) leaves the socket open here unless keepOpen is false.',
    java: 'ProcessBuilder closes descriptors in the child; a native library that forks may not.',
    python:
      'os.fork() and multiprocessing copy every descriptor; PEP 446 closes them at exec only. Close the connection in the parent right after the fork, and the listener in the child.',
    go: 'File() of a net.Conn duplicates the descriptor: Close() the os.File as well.',
    native:
      'After fork() close the accepted socket in the parent and the listener in the child; after dup() close both.',
  },
  'still-sending': {},
  ghost: {
    node: "An 'error' or 'end' without a 'close' leaves it: with allowHalfOpen: true call end() or destroy() when 'end' comes.",
    python: "Treat ConnectionResetError as the end of the stream, as b'' is: close().",
    native: 'EPOLLHUP and EPOLLERR are always reported: answer them with close(fd).',
  },
  'peer-never-closes': {
    node: 'end() waits for the peer without limit: socket.setTimeout(ms, () => socket.destroy()).',
    java: 'After shutdownOutput() read with setSoTimeout(), and close() when the time is up.',
    python: 'After shutdown(SHUT_WR) read with settimeout(), and close() when the time is up.',
    go: 'After CloseWrite() set a read deadline, and Close() when it has passed.',
    native: 'After shutdown(fd, SHUT_WR) wait with poll() and a timeout, then close(fd).',
  },
};

/** What to change, in one paragraph. */
export function adviceFor(cause: Cause, runtime?: Runtime): string {
  const specific = runtime === undefined ? undefined : byRuntime[cause][runtime];
  return specific === undefined ? general[cause] : paragraph(general[cause], specific);
}

const paragraphs = new Map<string, string>();

/** Both as one text; thousands of sockets have the same, which is then in memory once. */
function paragraph(first: string, second: string): string {
  const known = paragraphs.get(second);
  if (known !== undefined) return known;
  const text = `${first} ${second}`;
  paragraphs.set(second, text);
  return text;
}
