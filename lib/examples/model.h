#pragma once

// A decoder block as in the Llama models. The layers that kernels can replace say so in their constructors;
// nothing else of the model knows of kernels.

#include <cstdint>
#include <memory>
#include <random>

#include "kernels/layers/module.h"

#include "engine.h"

namespace example {

using kernels::layers::Layer;
using kernels::layers::Module;

struct BlockSizes {
  std::int64_t hidden = 4096;
  std::int64_t intermediate = 11008;
  int heads = 32;
  std::int64_t sequence = 128;  ///< tokens; more of them are several sequences
};

class Linear : public Module {
 public:
  Linear(Engine& engine, std::int64_t from, std::int64_t to, std::mt19937_64& random);
  Tensor operator()(const Tensor& x) const;

 private:
  Engine& engine_;
  Tensor weight_;
};

class RMSNorm : public Layer<Tensor(const Tensor&)> {
 public:
  RMSNorm(Engine& engine, std::int64_t width, std::mt19937_64& random);
  Result<Tensor> forward(const Tensor& hidden_states) const override;

 private:
  Engine& engine_;
  Tensor weight_;
  double variance_epsilon_ = 1e-5;
};

class SiluAndMul : public Layer<Tensor(const Tensor&)> {
 public:
  explicit SiluAndMul(Engine& engine);
  Result<Tensor> forward(const Tensor& x) const override;

 private:
  Engine& engine_;
};

class DecoderBlock : public Module {
 public:
  DecoderBlock(Engine& engine, const BlockSizes& sizes, std::uint64_t seed);
  /// `x` is [tokens, hidden] and stays as it is.
  Result<Tensor> operator()(const Tensor& x) const;

 private:
  DecoderBlock(Engine& engine, const BlockSizes& sizes, std::mt19937_64 random);
  Tensor attend(const Tensor& normed) const;

  Engine& engine_;
  Engine::Heads heads_;
  std::shared_ptr<RMSNorm> input_layernorm_;
  std::shared_ptr<Linear> q_proj_;
  std::shared_ptr<Linear> k_proj_;
  std::shared_ptr<Linear> v_proj_;
  std::shared_ptr<Linear> o_proj_;
  std::shared_ptr<RMSNorm> post_attention_layernorm_;
  std::shared_ptr<Linear> gate_up_proj_;
  std::shared_ptr<SiluAndMul> act_fn_;
  std::shared_ptr<Linear> down_proj_;
};

}  // namespace example
