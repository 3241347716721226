/** A worker's figures in Micrometer, for applications that have it. */
package dev.hera.micrometer;
