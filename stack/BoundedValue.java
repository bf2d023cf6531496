package lakehouse.tick;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Map;
import org.apache.flink.kafka.shaded.org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Reads the value of a Kafka message unless it has more than `bounded.value.bytes.max` bytes.
 * Of a longer one the reader gets null or, with `bounded.value.cut`, the first bytes up to the
 * limit and behind them the true length in decimal digits.
 */
public class BoundedValue extends ByteArrayDeserializer {
    private int bytesMax;
    private boolean cut;

    public void configure(Map configs, boolean isKey) {
        this.bytesMax = Integer.parseInt((String) configs.get("bounded.value.bytes.max"));
        this.cut = Boolean.parseBoolean((String) configs.get("bounded.value.cut"));
    }

    public byte[] deserialize(String topic, byte[] value) {
        if (value == null || value.length <= this.bytesMax) {
            return value;
        }
        return this.cut ? this.shortened(value) : null;
    }

    private byte[] shortened(byte[] value) {
        byte[] length = Integer.toString(value.length).getBytes(StandardCharsets.US_ASCII);
        byte[] shortened = Arrays.copyOf(value, this.bytesMax + length.length);
        System.arraycopy(length, 0, shortened, this.bytesMax, length.length);
        return shortened;
    }
}
