#include "stream.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace kernels::bench {

namespace {

constexpr std::uint64_t kVector = 16;  // bytes

/// Reads and writes, each from 1 to 4, whose ratio is the nearest.
std::pair<unsigned, unsigned> nearest_ratio(double ratio) {
  std::pair<unsigned, unsigned> best = {1, 1};
  double distance = HUGE_VAL;
  for (unsigned reads = 1; reads <= 4; ++reads)
    for (unsigned writes = 1; writes <= 4; ++writes) {
      const double away = std::fabs(std::log(ratio * writes / reads));
      if (away + 1e-9 < distance) {
        distance = away;
        best = {reads, writes};
      }
    }
  return best;
}

std::uint64_t bytes_per_vector(const StreamShape& shape) {
  return shape.reads * kVector + static_cast<std::uint64_t>(shape.writes) * shape.written_vector;
}

/// Text of PTX, line by line.
class Ptx {
 public:
  explicit Ptx(const StreamPlan& plan) : plan_(plan), shape_(plan.shape) {}

  std::string text() {
    for (unsigned v = 0; v < plan_.vectors_per_thread; ++v)
      place(v);
    for (unsigned v = 0; v < plan_.vectors_per_thread; ++v)
      for (unsigned k = 0; k < shape_.reads; ++k)
        load(v, k);
    for (unsigned v = 0; v < plan_.vectors_per_thread; ++v) {
      combine(v);
      for (unsigned k = 0; k < shape_.writes; ++k)
        store(v, k);
      if (shape_.writes == 0) pretend(v);
    }
    return head() + body_ + "  ret;\n}\n";
  }

 private:
  static std::string number(std::uint64_t value) { return std::to_string(value); }
  std::string lane(unsigned v, unsigned k, unsigned i) const {
    return "%r" + number(8 + (v * std::max(shape_.reads, 1U) + k) * 4 + i);
  }
  void line(const std::string& text) { body_ += "  " + text + "\n"; }

  std::string head() const {
    const auto lanes = number(8 + plan_.vectors_per_thread * std::max(shape_.reads, 1U) * 4);
    return ".version 7.0\n.target sm_70\n.address_size 64\n"
           ".visible .entry stream(.param .u64 base, .param .u64 count)\n"
           // Else the driver may give a thread more registers than so many threads can have.
           ".maxntid " +
           number(plan_.threads) +
           ", 1, 1\n{\n"
           "  .reg .pred %p<8>;\n  .reg .pred %q<8>;\n  .reg .b32 %r<" +
           lanes + ">;\n  .reg .b64 %d<40>;\n" +
           "  mov.u32 %r0, %ctaid.x;\n  mov.u32 %r1, %ntid.x;\n  mov.u32 %r2, %tid.x;\n"
           "  ld.param.u64 %d0, [base];\n  cvta.to.global.u64 %d0, %d0;\n  ld.param.u64 %d1, [count];\n"
           "  mul.lo.u32 %r3, %r1, " +
           number(plan_.vectors_per_thread) +
           ";\n  mul.wide.u32 %d2, %r0, %r3;\n  cvt.u64.u32 %d3, %r2;\n  add.u64 %d2, %d2, %d3;\n"
           "  cvt.u64.u32 %d3, %r1;\n";
  }

  /// The index of vector `v` of this thread in d8+v, whether there is one in p<v>.
  void place(unsigned v) {
    const auto index = "%d" + number(8 + v);
    line(v == 0 ? "mov.u64 " + index + ", %d2;" : "add.u64 " + index + ", %d" + number(7 + v) + ", %d3;");
    line("setp.lt.u64 %p" + number(v) + ", " + index + ", %d1;");
  }

  /// The address of a vector in d4, given the width of one and the bytes per index before the stream.
  void address(unsigned v, std::uint64_t width, std::uint64_t before) {
    line("mul.lo.u64 %d5, %d" + number(8 + v) + ", " + number(width) + ";");
    line("mul.lo.u64 %d4, %d1, " + number(before) + ";");
    line("add.u64 %d4, %d4, %d5;");
    line("add.u64 %d4, %d4, %d0;");
  }

  void load(unsigned v, unsigned k) {
    address(v, kVector, k * kVector);
    line("@%p" + number(v) + " ld.global.v4.b32 {" + lane(v, k, 0) + ", " + lane(v, k, 1) + ", " +
         lane(v, k, 2) + ", " + lane(v, k, 3) + "}, [%d4];");
  }

  /// All that was read goes into what is written: the compiler drops a load that nothing needs.
  void combine(unsigned v) {
    if (shape_.reads == 0)
      for (unsigned i = 0; i < 4; ++i)
        line("mov.b32 " + lane(v, 0, i) + ", 0x3f803f80;");
    for (unsigned k = 1; k < shape_.reads; ++k)
      for (unsigned i = 0; i < 4; ++i)
        line("xor.b32 " + lane(v, 0, i) + ", " + lane(v, 0, i) + ", " + lane(v, k, i) + ";");
    if (shape_.writes == 0) return;
    // Lanes that are not written go into those that are.
    for (unsigned kept = 4; kept * 4 > shape_.written_vector; kept /= 2)
      for (unsigned i = 0; i < kept / 2; ++i)
        line("xor.b32 " + lane(v, 0, i) + ", " + lane(v, 0, i) + ", " + lane(v, 0, i + kept / 2) + ";");
  }

  void store(unsigned v, unsigned k) {
    if (shape_.in_place)
      address(v, kVector, k * kVector);
    else
      address(v, shape_.written_vector,
              shape_.reads * kVector + static_cast<std::uint64_t>(k) * shape_.written_vector);
    const auto where = "@%p" + number(v) + " st.global.";
    if (shape_.written_vector == 4)
      line(where + "b32 [%d4], " + lane(v, 0, 0) + ";");
    else if (shape_.written_vector == 8)
      line(where + "v2.b32 [%d4], {" + lane(v, 0, 0) + ", " + lane(v, 0, 1) + "};");
    else
      line(where + "v4.b32 [%d4], {" + lane(v, 0, 0) + ", " + lane(v, 0, 1) + ", " + lane(v, 0, 2) + ", " +
           lane(v, 0, 3) + "};");
  }

  /// A store that hardly ever happens, so that the loads are needed.
  void pretend(unsigned v) {
    for (unsigned i = 1; i < 4; ++i)
      line("xor.b32 " + lane(v, 0, 0) + ", " + lane(v, 0, 0) + ", " + lane(v, 0, i) + ";");
    line("setp.eq.and.b32 %q" + number(v) + ", " + lane(v, 0, 0) + ", 0x5ca1ab1e, %p" + number(v) + ";");
    line("@%q" + number(v) + " st.global.b32 [%d0], " + lane(v, 0, 0) + ";");
  }

  const StreamPlan& plan_;
  const StreamShape& shape_;
  std::string body_;
};

}  // namespace

std::vector<StreamShape> shapes_for(const Traffic& traffic) {
  if (traffic.written == 0) return {{.reads = 1, .writes = 0}};
  if (traffic.read == 0) return {{.reads = 0, .writes = 1}};
  const auto read = static_cast<double>(traffic.read);
  const auto written = static_cast<double>(traffic.written);
  const auto [reads, writes] = nearest_ratio(read / written);
  // In place when most of what is written was read there.
  const bool in_place = writes <= reads && 4 * traffic.in_place >= 3 * traffic.written;
  std::vector<StreamShape> out = {{.reads = reads, .writes = writes, .in_place = in_place}};
  if (reads == 2 && writes == 1 && !in_place)
    out.push_back({.reads = 1, .writes = 1, .in_place = false, .written_vector = 8});
  if (reads == 4 && writes == 1 && !in_place)
    out.push_back({.reads = 1, .writes = 1, .in_place = false, .written_vector = 4});
  return out;
}

std::vector<StreamPlan> plans_for(const Traffic& traffic) {
  std::vector<StreamPlan> out;
  for (const auto& shape : shapes_for(traffic)) {
    const auto each = bytes_per_vector(shape);
    // Multiples of four keep every stream on 16 bytes, also where 8 or 4 are written for each 16.
    const auto vectors = std::max<std::uint64_t>((traffic.bytes() + each / 2) / each, 4) / 4 * 4;
    for (unsigned per_thread : {1U, 2U, 4U})
      for (unsigned threads : {256U, 512U, 1024U})
        out.push_back(
            {.shape = shape, .vectors_per_thread = per_thread, .threads = threads, .vectors = vectors});
  }
  return out;
}

std::string StreamPlan::describe() const {
  std::string out = std::to_string(shape.reads) + " read, " + std::to_string(shape.writes) + " written";
  if (shape.in_place) out += " in place";
  if (shape.written_vector == 8) out += " with half the width";
  if (shape.written_vector == 4) out += " with a quarter of the width";
  return out + ", " + std::to_string(vectors_per_thread) + " x 16 bytes per thread, " +
         std::to_string(threads) + " threads per block";
}

std::uint64_t footprint(const StreamPlan& plan) {
  const auto& shape = plan.shape;
  auto each = shape.reads * kVector;
  if (!shape.in_place) each += static_cast<std::uint64_t>(shape.writes) * shape.written_vector;
  return aligned_size(plan.vectors * each);
}

std::string stream_ptx(const StreamPlan& plan) {
  return Ptx(plan).text();
}

std::string empty_ptx() {
  return ".version 7.0\n.target sm_70\n.address_size 64\n.visible .entry nothing()\n{\n  ret;\n}\n";
}

Result<Stream> Stream::make(const runtime::Cuda& cuda, const StreamPlan& plan) {
  auto kernel = cuda.compile(stream_ptx(plan), "stream");
  if (!kernel) return fail(std::move(kernel).error());
  Stream stream;
  stream.plan_ = plan;
  stream.kernel_ = *kernel;
  return stream;
}

Status Stream::run_async(const runtime::Cuda& cuda, std::uint64_t address) const {
  auto count = plan_.vectors;
  std::array<void*, 2> arguments = {&address, &count};
  const std::uint64_t per_block = static_cast<std::uint64_t>(plan_.threads) * plan_.vectors_per_thread;
  const auto blocks = static_cast<unsigned>((count + per_block - 1) / per_block);
  return cuda.launch_async(kernel_, std::max(blocks, 1U), plan_.threads, arguments);
}

}  // namespace kernels::bench
