{
  "variables": { "in_checkout": "<!(test -e test/bench/async_worker.cc && echo 1 || echo 0)" },
  # C++20 per target: the -std flag that Node's own settings add comes later and would win.
  "target_defaults": {
    "cflags": ["-Wall", "-Wextra", "-Wno-missing-field-initializers"],
    "cflags_cc!": ["-std=gnu++17"],
    "cflags_cc": ["-std=c++20"]
  },
  "targets": [
    {
      # Linux <-> C++. No N-API header on its path: what makes system calls knows no JavaScript.
      "target_name": "os",
      "type": "static_library",
      "cflags": ["-fPIC", "-fvisibility=hidden"],
      "sources": [
        "native/os/actor.cc",
        "native/os/bpf.cc",
        "native/os/call.cc",
        "native/os/constants_kernel.cc",
        "native/os/constants_library.cc",
        "native/os/forget.cc",
        "native/os/invoke.cc",
        "native/os/mapping.cc",
        "native/os/perf.cc",
        "native/os/sequence.cc",
        "native/os/spawn.cc"
      ],
      "include_dirs": ["<(SHARED_INTERMEDIATE_DIR)/closewait"],
      "actions": [
        {
          "action_name": "constants",
          "inputs": ["native/os/constants.mjs", "src/syscall/constants.ts"],
          "outputs": [
            "<(SHARED_INTERMEDIATE_DIR)/closewait/constants.inc",
            "<(SHARED_INTERMEDIATE_DIR)/closewait/enumerators.inc",
            "<(SHARED_INTERMEDIATE_DIR)/closewait/kernel_enumerators.inc",
            "<(SHARED_INTERMEDIATE_DIR)/closewait/errnos.inc",
            "<(SHARED_INTERMEDIATE_DIR)/closewait/syscalls.inc"
          ],
          "action": [
            "node", "native/os/constants.mjs",
            "<(SHARED_INTERMEDIATE_DIR)/closewait", "src/syscall/constants.ts"
          ]
        }
      ]
    },
    {
      "target_name": "closewait",
      "dependencies": ["os"],
      "sources": [
        "native/addon.cc",
        "native/glue/actor.cc",
        "native/glue/arguments.cc",
        "native/glue/calls.cc",
        "native/glue/constants.cc",
        "native/glue/mapping.cc",
        "native/glue/throw.cc"
      ],
      "cflags": ["-fvisibility=hidden"],
      # Stays loaded when the last environment that used it has ended: the process still has its signal handler.
      "ldflags": ["-Wl,-z,nodelete"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=9", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"]
    },
    # Plain C programs that the addon is measured against. No Node in them.
    { "target_name": "lifecycle", "type": "executable", "sources": ["native/reference/lifecycle.c"] },
    { "target_name": "tcpinfo", "type": "executable", "sources": ["native/reference/tcpinfo.c"] },
    { "target_name": "handoff", "type": "executable", "sources": ["native/reference/handoff.c"] },
    { "target_name": "dump", "type": "executable", "sources": ["native/reference/dump.c"] },
    { "target_name": "hold", "type": "executable", "sources": ["native/reference/hold.c"] },
    { "target_name": "teardown", "type": "executable", "sources": ["native/reference/teardown.c"] },
    { "target_name": "crowd", "type": "executable", "sources": ["native/reference/crowd.c"] }
  ],
  "conditions": [
    # The package has no test/.
    ["in_checkout==1", {
      "targets": [
        {
          # A comparator for `npm run bench`: the same call through libuv's pool.
          "target_name": "async_worker",
          "sources": ["test/bench/async_worker.cc"],
          "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
          "defines": ["NAPI_VERSION=9", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS"]
        }
      ]
    }]
  ]
}
