#include "bpf.h"

#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>

#include <cstdint>

namespace closewait::os {
namespace {

constexpr long kInstruction = sizeof(struct bpf_insn);

// The kernel refuses attributes with anything set beyond what a command uses: `attributes` must
// come zeroed as a whole, padding included.
long Bpf(Call& call, int command, union bpf_attr* attributes) {
  const long args[6] = {command, reinterpret_cast<long>(attributes), sizeof *attributes};
  return Invoke(&call.cancelled, SYS_bpf, args);
}

}  // namespace

long BpfMapCreate(Call& call) {
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.map_type = static_cast<uint32_t>(call.args[0]);
  attributes.key_size = static_cast<uint32_t>(call.args[1]);
  attributes.value_size = static_cast<uint32_t>(call.args[2]);
  attributes.max_entries = static_cast<uint32_t>(call.args[3]);
  attributes.map_flags = static_cast<uint32_t>(call.args[4]);
  return Bpf(call, BPF_MAP_CREATE, &attributes);
}

long BpfProgLoad(Call& call) {
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.prog_type = static_cast<uint32_t>(call.args[0]);
  attributes.expected_attach_type = static_cast<uint32_t>(call.args[1]);
  attributes.attach_btf_id = static_cast<uint32_t>(call.args[2]);
  attributes.insns = static_cast<uint64_t>(call.args[3]);
  attributes.insn_cnt = static_cast<uint32_t>(call.lengths[3] / kInstruction);
  attributes.license = static_cast<uint64_t>(call.args[4]);
  if (call.lengths[5] > 0) {
    attributes.log_buf = static_cast<uint64_t>(call.args[5]);
    attributes.log_size = static_cast<uint32_t>(call.lengths[5]);
    attributes.log_level = 1;
  }
  return Bpf(call, BPF_PROG_LOAD, &attributes);
}

long BpfInfo(Call& call) {
  memset(reinterpret_cast<void*>(call.args[1]), 0, static_cast<size_t>(call.lengths[1]));
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.info.bpf_fd = static_cast<uint32_t>(call.args[0]);
  attributes.info.info = static_cast<uint64_t>(call.args[1]);
  attributes.info.info_len = static_cast<uint32_t>(call.lengths[1]);
  return Bpf(call, BPF_OBJ_GET_INFO_BY_FD, &attributes);
}

long BpfRawTracepointOpen(Call& call) {
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.raw_tracepoint.prog_fd = static_cast<uint32_t>(call.args[0]);
  return Bpf(call, BPF_RAW_TRACEPOINT_OPEN, &attributes);
}

long BpfLinkCreate(Call& call) {
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.link_create.prog_fd = static_cast<uint32_t>(call.args[0]);
  attributes.link_create.target_fd = static_cast<uint32_t>(call.args[1]);
  attributes.link_create.attach_type = static_cast<uint32_t>(call.args[2]);
  return Bpf(call, BPF_LINK_CREATE, &attributes);
}

long BpfIterCreate(Call& call) {
  union bpf_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.iter_create.link_fd = static_cast<uint32_t>(call.args[0]);
  return Bpf(call, BPF_ITER_CREATE, &attributes);
}

}  // namespace closewait::os
