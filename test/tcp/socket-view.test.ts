import { snapshot } from '../../src/observer/sock-diag.js';
import * as sys from '../../src/syscall/sys.js';
import { SocketView, viewsOf } from '../../src/tcp/socket-view.js';
import { ownedBy, test } from '../fixture/descriptors.js';
import { families, listening, tcp } from '../fixture/sockets.js';

for (const family of families) {
  for (const info of [true, false]) {
    test(`a view reads what the row says: ${family.name}, ${info ? 'with' : 'without'} TCP_INFO`, (t) => {
      const owned = ownedBy(t);
      const listener = listening(owned, family);
      const client = tcp(owned, family);
      sys.connect(client, listener);
      sys.write(client, 'unread');
      const table = snapshot({ info });
      const views = viewsOf(table, (messages, start) => new SocketView(messages, start));
      t.is(views.length, table.length);
      let ours = 0;
      for (const [index, view] of views.entries()) {
        const row = table.at(index);
        if (row === undefined) throw new Error(`no row ${index}`);
        const { interface: _, shutdown: __, memory: ___, info: told, ...rest } = row;
        t.like(view, rest);
        t.deepEqual(view.info?.toObject(), told?.toObject());
        if (row.local.port === listener.port) ours++;
      }
      // The listener and what it has not accepted.
      t.is(ours, 2);
    });
  }
}
