#include "operands.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

namespace kernels::bench {
namespace {

constexpr std::size_t kHostAlignment = 256;

std::uint64_t image_bytes(const runtime::Layout& layout, DType type) {
  return layout.extent() * runtime::size_of(type) + 2 * kGuardBytes;
}

/// Calls `visit(first)` with the element offset of each row (the last dimension) of a layout that is not
/// empty.
template <class Visit>
void for_each_row(const runtime::Layout& layout, Visit visit) {
  const std::size_t outer = layout.sizes.size() - 1;
  std::vector<std::int64_t> index(outer, 0);
  const std::uint64_t rows = layout.elements() / static_cast<std::uint64_t>(layout.sizes.back());
  for (std::uint64_t row = 0; row < rows; ++row) {
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < outer; ++i)
      offset += index[i] * layout.strides[i];
    visit(static_cast<std::uint64_t>(offset));
    for (std::size_t i = outer; i-- > 0;) {
      if (++index[i] < layout.sizes[i]) break;
      index[i] = 0;
    }
  }
}

/// Random elements to fill rows with. Past a length that no power of two divides they come again: drawing
/// thousands of millions of numbers takes minutes, and rows stay different from their neighbours.
class Pattern {
 public:
  /// `limit` of whole numbers: those from 0 up to but not it.
  Pattern(std::uint64_t elements, DType type, std::uint64_t limit, Random& random)
      : size_(runtime::size_of(type)) {
    constexpr std::uint64_t kMostDrawn = 4'194'301;  // a prime
    const auto drawn = std::min(elements, kMostDrawn);
    const bool is_floating = runtime::is_floating(type);
    bytes_.resize(drawn * size_);
    for (std::uint64_t i = 0; i < drawn; ++i)
      if (is_floating)
        runtime::store_element(bytes_.data(), type, i, random.value());
      else
        runtime::store_whole(bytes_.data(), type, i, static_cast<std::int64_t>(random.below(limit)));
  }

  void copy(std::byte* to, std::uint64_t elements) {
    for (auto rest = elements * size_; rest > 0;) {
      const auto piece = std::min<std::uint64_t>(rest, bytes_.size() - next_);
      std::memcpy(to, bytes_.data() + next_, piece);
      next_ = (next_ + piece) % bytes_.size();
      to += piece;
      rest -= piece;
    }
  }

 private:
  std::uint64_t size_;
  std::uint64_t next_ = 0;
  std::vector<std::byte> bytes_;
};

void fill_image(Operand& operand, std::uint64_t limit, Random& random) {
  const std::uint64_t size = runtime::size_of(operand.dtype);
  operand.before.assign(image_bytes(operand.layout, operand.dtype), kGuard);
  if (operand.layout.elements() == 0) return;
  std::byte* data = operand.before.data() + kGuardBytes;
  const auto cols = static_cast<std::uint64_t>(operand.layout.sizes.back());
  const bool is_output = operand.spec->access == Access::write;
  Pattern pattern(is_output ? 0 : operand.layout.elements(), operand.dtype, limit, random);
  for_each_row(operand.layout, [&](std::uint64_t first) {
    if (is_output)
      std::memset(data + first * size, static_cast<int>(poison_of(operand.dtype)), cols * size);
    else
      pattern.copy(data + first * size, cols);
  });
}

}  // namespace

std::uint64_t Random::next() {
  state_ += 0x9e3779b97f4a7c15ULL;
  std::uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

double Random::value() {
  // The sum of four uniform numbers of 16 bits each, from one draw.
  const std::uint64_t bits = next();
  const std::uint64_t sum =
      (bits & 0xffff) + ((bits >> 16) & 0xffff) + ((bits >> 32) & 0xffff) + (bits >> 48);
  return (static_cast<double>(sum) - 131070.0) / 32768.0;
}

void* device_pointer(std::uint64_t address) {
  // The driver counts addresses, DLPack wants pointers.
  return reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr)
}

void Buffer::Free::operator()(std::byte* memory) const {
  std::free(memory);
}

Result<Buffer> Buffer::make(const runtime::Cuda* cuda, std::uint64_t bytes) {
  Buffer buffer;
  buffer.cuda_ = cuda;
  buffer.bytes_ = bytes;
  if (cuda != nullptr) {
    auto memory = cuda->allocate(bytes);
    if (!memory) return std::unexpected(std::move(memory).error());
    buffer.device_ = std::move(*memory);
    return buffer;
  }
  const std::uint64_t rounded = (bytes + kHostAlignment) / kHostAlignment * kHostAlignment;
  buffer.host_.reset(static_cast<std::byte*>(std::aligned_alloc(kHostAlignment, rounded)));
  if (buffer.host_ == nullptr)
    return fail(Errc::unsupported, "cannot allocate " + std::to_string(bytes) + " bytes");
  return buffer;
}

std::byte* Buffer::address() const {
  return cuda_ == nullptr ? host_.get() : static_cast<std::byte*>(device_pointer(device_.address()));
}

Status Buffer::write(std::span<const std::byte> from, std::uint64_t offset) const {
  if (cuda_ != nullptr) return cuda_->write(device_.address() + offset, from);
  std::memcpy(host_.get() + offset, from.data(), from.size());
  return {};
}

Status Buffer::read(std::span<std::byte> to) const {
  if (cuda_ != nullptr) return cuda_->read(to, device_.address());
  std::memcpy(to.data(), host_.get(), to.size());
  return {};
}

runtime::Value Operand::value() const {
  if (spec->value) return *spec->value;
  return static_cast<const runtime::Tensor*>(tensor.get());
}

Result<std::vector<Operand>> make_images(const FunctionSpec& function, const Sizes& sizes, Random& random,
                                         const OperandOptions& options) {
  constexpr std::int64_t kPadding = 3;  // odd, so that rows lose every alignment but that of an element
  std::vector<Operand> operands;
  for (const ArgumentSpec& argument : function.arguments) {
    Operand& operand = operands.emplace_back();
    operand.spec = &argument;
    if (argument.value) continue;
    auto shape = shape_of(argument, sizes);
    if (!shape) return std::unexpected(std::move(shape).error());
    std::uint64_t limit = 1;
    if (argument.below) {
      auto named = limit_of(argument, sizes);
      if (!named) return std::unexpected(std::move(named).error());
      limit = *named;
    }
    operand.dtype = dtype_of(argument, options.dtype);
    operand.layout = runtime::Layout::padded(std::move(*shape), options.rows == Rows::padded ? kPadding : 0);
    fill_image(operand, limit, random);
  }
  return operands;
}

Status place(std::vector<Operand>& operands, const OperandOptions& options) {
  const auto kind = options.cuda == nullptr ? runtime::DeviceKind::cpu : runtime::DeviceKind::cuda;
  for (Operand& operand : operands) {
    if (!operand.is_tensor()) continue;
    auto buffer = Buffer::make(options.cuda, operand.before.size());
    if (!buffer) return std::unexpected(std::move(buffer).error());
    operand.buffer = std::move(*buffer);
    if (auto written = operand.buffer.write(operand.before, 0); !written) return written;
    operand.tensor = std::make_unique<runtime::Tensor>(operand.buffer.address() + kGuardBytes, operand.dtype,
                                                       operand.layout, kind, options.device_index);
  }
  return {};
}

std::uint64_t set_bytes(const std::vector<Operand>& operands) {
  std::uint64_t bytes = 0;
  for (const Operand& operand : operands)
    bytes += operand.before.size();
  return bytes;
}

std::vector<runtime::Value> values_of(const std::vector<Operand>& operands) {
  std::vector<runtime::Value> values;
  values.reserve(operands.size());
  for (const Operand& operand : operands)
    values.push_back(operand.value());
  return values;
}

Result<std::uint64_t> usable_bytes(const runtime::Cuda* cuda) {
  if (cuda != nullptr) {
    auto free = cuda->free_bytes();
    if (!free) return free;
    return *free / 2;
  }
  std::ifstream file("/proc/meminfo");
  std::string key;
  std::uint64_t kibibytes = 0;
  std::string unit;
  while (file >> key >> kibibytes) {
    if (key == "MemAvailable:") return kibibytes * 1024 / 2;
    std::getline(file, unit);
  }
  return std::uint64_t{1} << 30;  // not told: assume little
}

}  // namespace kernels::bench
