// The functions of the library, as blocks.cpp exports them.

#pragma once

#include <cstdint>

extern "C" {

int thumbnet_lanes();
void thumbnet_set_add_up(void (*function)(double*, int));
void thumbnet_norm_forward(void* t, void* shortcut, const float* gamma, const float* beta, float* running_mean,
                           float* running_variance, double momentum, double epsilon, void* z, uint8_t* largest, void* y,
                           float* saved, int is_bfloat16, int n, int h, int w, int channels, int scores,
                           int num_threads);
void thumbnet_norm_backward(void* grad_out, void* z, const uint8_t* largest, float* saved, void* t_gradient,
                            float* gamma_gradient, float* beta_gradient, int is_bfloat16, int n, int h, int w,
                            int channels, int num_threads);
void thumbnet_separable_forward(void* x, const float* pointwise, const float* depthwise, const float* gamma,
                                const float* beta, float* running_mean, float* running_variance, double momentum,
                                double epsilon, void* mixed, void* z, uint8_t* largest, void* y, float* saved,
                                int is_bfloat16, int n, int h, int w, int in, int out, int dilation, int has_shortcut,
                                int scores, int num_threads);
void thumbnet_separable_backward(void* grad_out, void* x, void* mixed, void* z, const uint8_t* largest,
                                 const float* pointwise, const float* depthwise, float* saved, void* x_gradient,
                                 float* pointwise_gradient, float* depthwise_gradients, float* gamma_gradient,
                                 float* beta_gradient, int is_bfloat16, int n, int h, int w, int in, int out,
                                 int dilation, int has_shortcut, int num_threads);
void thumbnet_convolution_forward(void* x, const float* weights, const float* bias, void* y, int is_bfloat16, int n, int h,
                                  int w, int in, int out, int padding, int dilation, int64_t out_stride,
                                  int64_t in_stride, int64_t tap_stride, int num_threads);
void thumbnet_convolution_backward(void* grad_out, void* x, const float* weights, void* x_gradient,
                                   float* weight_gradient, float* bias_gradient, int is_bfloat16, int n, int h, int w,
                                   int in, int out, int padding, int dilation, int64_t out_stride, int64_t in_stride,
                                   int64_t tap_stride, int num_threads);
void thumbnet_plain_forward(void* x, const float* weights, const float* gamma, const float* beta, float* running_mean,
                            float* running_variance, double momentum, double epsilon, void* z, uint8_t* largest, void* y,
                            float* saved, int is_bfloat16, int n, int h, int w, int in, int out, int padding,
                            int dilation, int64_t out_stride, int64_t in_stride, int64_t tap_stride, int has_shortcut,
                            int scores, int num_threads);
void thumbnet_plain_backward(void* grad_out, void* x, void* z, const uint8_t* largest, const float* weights, float* saved,
                             void* x_gradient, float* weight_gradient, float* gamma_gradient, float* beta_gradient,
                             int is_bfloat16, int n, int h, int w, int in, int out, int padding, int dilation,
                             int64_t out_stride, int64_t in_stride, int64_t tap_stride, int has_shortcut,
                             int num_threads);
void thumbnet_strided_forward(void* source, const float* whitening, const float* weights, const float* gamma,
                              const float* beta, float* running_mean, float* running_variance, double momentum,
                              double epsilon, void* z, void* y, float* saved, int is_bfloat16, int n, int h, int w, int in,
                              int out, int whitened, int whiten_padding, int64_t out_stride, int64_t in_stride,
                              int64_t tap_stride, int scores, int num_threads);
void thumbnet_strided_backward(void* grad_out, void* source, const float* whitening, void* z, const float* weights,
                               float* saved, void* x_gradient, float* weight_gradient, float* gamma_gradient,
                               float* beta_gradient, int is_bfloat16, int n, int h, int w, int in, int out, int whitened,
                               int whiten_padding, int64_t out_stride, int64_t in_stride, int64_t tap_stride,
                               int num_threads);
void thumbnet_images(const uint8_t* images, const int64_t* top, const int64_t* left, const uint8_t* flips,
                     const int32_t* vertical, const int32_t* horizontal, const float* table, float* result, int n,
                     int channels, int h, int w, int out_h, int out_w, int padding, int reflects, int vertical_taps,
                     int vertical_precision, int horizontal_taps, int horizontal_precision, int num_threads);
void thumbnet_cut_images(const uint8_t* images, const int64_t* top, const int64_t* left, const uint8_t* flips,
                         uint8_t* result, int n, int channels, int h, int w, int padding, int reflects, int num_threads);
void thumbnet_turn_images(const uint8_t* images, const uint8_t* selected, const float* sources, uint8_t* result, int n,
                          int channels, int h, int w, int num_threads);
void thumbnet_mix_images(const uint8_t* images, const float* mixing, const float* lifts, const float* greys, uint8_t* result,
                         int n, int channels, int h, int w, int num_threads);
void thumbnet_sharpen_images(const uint8_t* images, const float* factors, uint8_t* result, int n, int channels, int h,
                             int w, int num_threads);
void thumbnet_muon_step(float* const* weights, const float* const* gradients, float* const* momenta, const int* rows,
                        const int* columns, int num_filters, double lr, double momentum, int num_threads);
}
